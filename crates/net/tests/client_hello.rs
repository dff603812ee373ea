//! The reader of hellos, with hellos made by hand, by a client (OpenSSL 3.0, as recorded in `hello/`) and by chance.

use evenkeel_net::client_hello::{ClientHello, HELLO_MAX, HelloFault, read};
use proptest::{collection::vec, prelude::*};

const TLS13: &[u8] = include_bytes!("hello/tls13");
const TLS12: &[u8] = include_bytes!("hello/tls12");
const NAMELESS: &[u8] = include_bytes!("hello/nameless");

fn long(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("test data is short");
    [&length.to_be_bytes(), content].concat()
}

fn short(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).expect("test data is short")], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &long(content)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(0, &long(&[&[0], &long(name)[..]].concat()))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    extension(16, &long(&names.iter().flat_map(|name| short(name)).collect::<Vec<_>>()))
}

/// A hello as one message, without records.
fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &short(&[9; 32]),
        &long(&[0x13, 0x01, 0x13, 0x02]),
        &short(&[0]),
        &long(&extensions.concat()),
    ]
    .concat();
    let length = u32::try_from(body.len()).expect("test data is short").to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

/// A message in records of these sizes, the last of which takes the rest.
fn in_records(mut message: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut record = |content: &[u8]| bytes.extend([&[22, 3, 1][..], &long(content)].concat());
    for size in sizes {
        if *size >= message.len() {
            break;
        }
        let (content, rest) = message.split_at(*size);
        record(content);
        message = rest;
    }
    record(message);
    bytes
}

fn said(extensions: &[Vec<u8>]) -> Result<ClientHello, HelloFault> {
    read(&in_records(&message(extensions), &[])).map(|hello| hello.expect("it is whole"))
}

fn name(name: &[u8]) -> Result<Option<String>, HelloFault> {
    said(&[sni(name)]).map(|hello| hello.server_name)
}

#[test]
fn the_hellos_of_a_real_client_are_read() {
    for (bytes, name, protocols) in [
        (TLS13, Some("www.example.org"), &[&b"h2"[..], b"http/1.1"][..]),
        (TLS12, Some("a.example"), &[]),
        (NAMELESS, None, &[b"http/1.1"]),
    ] {
        let hello = read(bytes).unwrap().unwrap();
        assert_eq!(hello.server_name.as_deref(), name);
        assert_eq!(hello.alpn, protocols);
    }
}

#[test]
fn a_hello_without_extensions_says_nothing() {
    let body = [&[3, 1][..], &[7; 32], &[0], &long(&[0, 10]), &short(&[0])].concat();
    let message = [&[1, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    assert_eq!(read(&in_records(&message, &[])), Ok(Some(ClientHello::default())));
    assert_eq!(said(&[]), Ok(ClientHello::default()));
}

#[test]
fn a_name_has_one_form_and_an_address_is_none() {
    assert_eq!(name(b"WWW.Example.org."), Ok(Some("www.example.org".to_owned())));
    assert_eq!(name(b"xn--bcher-kva.example"), Ok(Some("xn--bcher-kva.example".to_owned())));
    for address in [&b"192.0.2.1"[..], b"2001:db8::1"] {
        assert_eq!(name(address), Ok(None));
    }
    for wrong in
        [&b""[..], b".", b"a..b", b".a", b"a b", b"a\0.b", b"a/b", b"*.example", b"\xff", &[b'a'; 64], &[b'a'; 300]]
    {
        assert!(matches!(name(wrong), Err(HelloFault::Malformed(_))), "{wrong:?}");
    }
}

#[test]
fn extensions_that_break_their_rules_are_refused() {
    let host = || [&[0], &long(b"a.example")[..]].concat();
    for (what, extensions) in [
        ("server_name twice", vec![sni(b"a"), sni(b"a")]),
        ("ALPN twice", vec![alpn(&[b"h2"]), alpn(&[b"h2"])]),
        ("two names", vec![extension(0, &long(&[host(), host()].concat()))]),
        ("no name", vec![extension(0, &long(&[]))]),
        ("nothing", vec![extension(0, &[])]),
        ("bytes behind the names", vec![extension(0, &[long(&host()), vec![0]].concat())]),
        ("a list that is too short", vec![extension(0, &[0, 5, 0, 0, 9, b'a'])]),
        ("no protocol", vec![extension(16, &long(&[]))]),
        ("an empty protocol", vec![alpn(&[b"h2", b""])]),
        ("a protocol that is too short", vec![extension(16, &long(&[9, b'h']))]),
        ("an extension that is too short", vec![vec![0, 0, 0, 9, 1]]),
    ] {
        assert!(matches!(said(&extensions), Err(HelloFault::Malformed(_))), "{what}");
    }
    let other_kind = [&[7], &long(b"?")[..], &host()].concat();
    assert_eq!(said(&[extension(0, &long(&other_kind))]).unwrap().server_name.as_deref(), Some("a.example"));
}

#[test]
fn plain_http_and_junk_are_told_apart() {
    for http in ["GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        assert_eq!(read(http.as_bytes()), Err(HelloFault::PlainHttp), "{http}");
    }
    assert_eq!(read(b"GE"), Ok(None));
    for junk in
        [&b"get / HTTP/1.1"[..], b"SSH-2.0-x", b"\x80\x2e\x01\x03\x01", b"\0", b"PRIx", b"\x15\x03\x01\0\x02\x02\x28"]
    {
        assert_eq!(read(junk), Err(HelloFault::NotTls), "{junk:?}");
    }
}

#[test]
fn records_that_break_their_rules_are_refused() {
    let message = message(&[sni(b"a.example")]);
    let whole = in_records(&message, &[20]);
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    let second = 5 + 20;
    let mut empty = in_records(&message[..20], &[]);
    empty.extend([22, 3, 1, 0, 0]);
    for (what, bytes) in [
        ("an alert within", with(second, 21)),
        ("another version", with(1, 2)),
        ("another message", with(5, 2)),
        ("a record that is too long", with(second + 3, 0x40 + 1)),
        ("an empty record", empty),
    ] {
        assert!(matches!(read(&bytes), Err(HelloFault::Malformed(_))), "{what}");
    }
}

#[test]
fn a_hello_above_the_limit_is_refused_however_it_is_cut() {
    let large = message(&[extension(21, &vec![0; HELLO_MAX])]);
    let bytes = in_records(&large, &[1000; 30]);
    assert_eq!(read(&bytes[..20]), Err(HelloFault::TooLong), "its length says so");
    let drops = in_records(&message(&[extension(21, &[0; 4000])]), &[1; 4000]);
    assert_eq!(read(&drops[..HELLO_MAX - 1]), Ok(None));
    assert_eq!(read(&drops), Err(HelloFault::TooLong), "records of one byte are mostly heads");
}

proptest! {
    #[test]
    fn a_hello_is_the_same_in_any_records_and_every_part_of_it_needs_more(
        host in "[a-z0-9]{1,20}(\\.[a-z0-9]{1,10}){0,3}\\.[a-z]{2,8}",
        protocols in vec(vec(any::<u8>(), 1..20), 0..4),
        other in (17_u16..9000, vec(any::<u8>(), 0..200)),
        sizes in vec(1_usize..80, 0..40),
        behind in vec(any::<u8>(), 0..20),
    ) {
        let mut extensions = vec![extension(other.0, &other.1), sni(host.as_bytes())];
        if !protocols.is_empty() {
            extensions.push(alpn(&protocols.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        }
        let bytes = in_records(&message(&extensions), &sizes);
        for end in 0..bytes.len() {
            prop_assert_eq!(read(&bytes[..end]), Ok(None));
        }
        let hello = ClientHello { server_name: Some(host), alpn: protocols };
        prop_assert_eq!(read(&bytes), Ok(Some(hello.clone())));
        // Early data (RFC 8446, section 4.2.10), or anything else: it is no business of ours.
        prop_assert_eq!(read(&[bytes, behind].concat()), Ok(Some(hello)));
    }

    #[test]
    fn no_bytes_make_it_panic_and_a_verdict_stays(
        start in 0_usize..TLS13.len(),
        changes in vec((0_usize..TLS13.len(), any::<u8>()), 0..4),
        tail in vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = TLS13[..start].to_vec();
        bytes.extend(tail);
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        let mut before: Option<Result<Option<ClientHello>, HelloFault>> = None;
        for end in 0..=bytes.len() {
            let now = read(&bytes[..end]);
            if let Some(before) = before.filter(|before| *before != Ok(None)) {
                prop_assert_eq!(&now, &before);
            }
            before = Some(now);
        }
    }
}
