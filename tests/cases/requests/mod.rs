//! What clients send: one well-formed request reaches the endpoint, or none.

mod case;
mod chunks;
mod connections;
mod fields;
mod heads;
mod lengths;
mod run;
mod targets;

pub(super) use case::Case;

pub(super) fn table() -> Vec<Case> {
    [lengths::table(), chunks::table(), heads::table(), targets::table(), fields::table(), connections::table()]
        .concat()
}

#[tokio::test]
async fn what_reaches_an_endpoint_is_one_well_formed_request_or_none() {
    run::all(&table()).await;
}
