//! Rows in columns, for a terminal or a script.

use crate::text::plain;
use std::fmt;

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Words begin where the heading does.
    Words(&'static str),
    /// Numbers end where the heading does.
    Numbers(&'static str),
}

impl Column {
    const fn heading(self) -> &'static str {
        match self {
            Self::Words(heading) | Self::Numbers(heading) => heading,
        }
    }
}

/// A table of so many columns. Its cells may hold what an agent chose.
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| plain(&cell)));
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = self.columns.map(|column| column.heading().to_owned());
        let mut widths = [0; N];
        for row in self.rows.iter().chain([&headings]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in [&headings].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(widths).zip(self.columns) {
                line += &match column {
                    Column::Words(_) => format!("{cell:width$}  "),
                    Column::Numbers(_) => format!("{cell:>width$}  "),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([Column::Words("NAME"), Column::Numbers("N")]);
        table.row(["a".to_owned(), "1000".to_owned()]);
        table.row(["länger".to_owned(), "1".to_owned()]);
        assert_eq!(table.to_string(), "NAME       N\na       1000\nlänger     1\n");
    }
}
