//! Bytes of a text to lines and columns.

/// Where the lines of a text begin.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(source: &'a str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { source, starts }
    }

    /// The line of a byte, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The column of a byte within its line, in characters from 1, as editors count.
    pub(crate) fn column(&self, offset: usize) -> usize {
        let start = self.starts[self.line(offset) - 1];
        self.source.get(start..offset).map_or(1, |before| before.chars().count() + 1)
    }

    /// The byte at which a line (from 1) begins, and its text without the line end.
    pub(crate) fn text(&self, line: usize) -> (usize, &'a str) {
        let start = self.starts[line - 1];
        let end = self.starts.get(line).copied().unwrap_or(self.source.len());
        (start, self.source[start..end].trim_end_matches(['\n', '\r']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_counts_characters_and_a_line_ends_before_its_line_end() {
        let lines = Lines::of("äb = 1\r\n\nc");

        assert_eq!((lines.line(0), lines.column(3)), (1, 3));
        assert_eq!(lines.text(1), (0, "äb = 1"));
        assert_eq!((lines.line(9), lines.text(2)), (2, (9, "")));
        assert_eq!((lines.line(11), lines.column(11), lines.text(3)), (3, 2, (10, "c")));
    }
}
