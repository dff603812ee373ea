//! Words in source code, as far as a rule about a word needs it. Knows no rule and no file.

/// The code without its comments and texts. Good enough for a word: block comments, raw and long texts are read as code.
pub(super) fn code(text: &str) -> String {
    text.lines().map(without_comment_and_texts).collect::<Vec<_>>().join("\n")
}

fn without_comment_and_texts(line: &str) -> String {
    let (mut code, mut in_text, mut characters) = (String::new(), false, line.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '/' if !in_text && characters.peek() == Some(&'/') => break,
            '\\' if in_text => drop(characters.next()),
            '"' if code.ends_with('\'') => code.push('"'),
            '"' => in_text = !in_text,
            _ if in_text => {}
            _ => code.push(character),
        }
    }
    code
}

/// The code of the program alone: unit tests come last in a file.
pub(super) fn program(text: &str) -> String {
    let code = code(text);
    code.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// Writes `use std::{a, b::{c, d}};` as `std::a std::b std::b::c std::b::d`, before the code itself.
pub(super) fn flatten_imports(code: &str) -> String {
    let mut flat = String::new();
    for import in code.split(';').filter_map(|statement| statement.split("use ").nth(1)) {
        let (mut path, mut stack) = (String::new(), Vec::new());
        for character in import.chars().filter(|character| !character.is_whitespace()) {
            match character {
                '{' => stack.push(path.len()),
                ',' | '}' => {
                    flat.push_str(&path);
                    flat.push(' ');
                    path.truncate(stack.last().copied().unwrap_or_default());
                    if character == '}' {
                        stack.pop();
                    }
                }
                _ => path.push(character),
            }
        }
        flat.push_str(&path);
        flat.push('\n');
    }
    flat + code
}

/// Whether `word` stands in `code`, not as a part of a longer one.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let inner = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word)
        .any(|(start, _)| !code[..start].ends_with(inner) && !code[start + word.len()..].starts_with(inner))
}
