//! Draws problems for a person at a terminal, as a compiler would.

use super::{
    lines::Lines,
    problem::{Problem, Problems, Severity},
};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};
use std::ops::Range;

pub(super) fn render(problems: &Problems, color: bool) -> String {
    let renderer = if color { Renderer::styled().decor_style(DecorStyle::Unicode) } else { Renderer::plain() };
    let lines = Lines::of(&problems.source);
    let mut text = String::new();
    for problem in problems.iter() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&renderer.render(&[group(problem, &problems.file, &lines)]));
        text.push('\n');
    }
    text
}

fn group<'a>(problem: &'a Problem, file: &'a str, lines: &Lines<'a>) -> Group<'a> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&problem.message));
    group = if problem.line == 0 {
        group.element(Origin::path(file))
    } else {
        group.element(snippet(file, lines, problem.line, &problem.span, AnnotationKind::Primary, None))
    };
    if let Some(related) = &problem.related {
        let label = Some(related.label);
        group = group.element(snippet(file, lines, related.line, &related.span, AnnotationKind::Context, label));
    }
    match &problem.hint {
        Some(hint) => group.element(Level::HELP.message(hint)),
        None => group,
    }
}

/// One line of the file with a part of it underlined. Only the line is handed over, not the file: drawing stays linear in the number of
/// problems.
fn snippet<'a>(
    file: &'a str,
    lines: &Lines<'a>,
    line: usize,
    span: &Range<usize>,
    kind: AnnotationKind,
    label: Option<&'static str>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let (start, text) = lines.text(line);
    // A value may go on over several lines; its first one is enough to find it.
    let from = span.start.saturating_sub(start).min(text.len());
    let to = span.end.saturating_sub(start).clamp(from, text.len());
    Snippet::source(text).path(file).line_start(line).annotation(kind.span(from..to).label(label))
}
