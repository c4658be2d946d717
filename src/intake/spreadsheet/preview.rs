//! The columns of a file before it is imported: each title with what stands beneath it.

use super::mapping::ColumnMapping;
use super::{SpreadsheetFile, sheet::Sheet};
use crate::problem::Problem;

/// Values shown of each column.
const SAMPLES: usize = 3;

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSample {
    pub title: String,
    /// The first values beneath it.
    pub values: Vec<String>,
}

impl SpreadsheetFile {
    /// The titled columns of the sheet that an import with this mapping would read.
    pub fn columns(&self, mapping: Option<&ColumnMapping>) -> Result<Vec<ColumnSample>, Problem> {
        let Sheet { titles, records } = self.sheet(mapping)?;
        let values = |n: usize| {
            let cells = records.iter().filter_map(|record| record.cells.get(n)).filter(|cell| !cell.is_empty());
            cells.take(SAMPLES).cloned().collect()
        };
        let columns = titles.into_iter().enumerate().filter(|(_, title)| !title.is_empty());
        Ok(columns.map(|(n, title)| ColumnSample { values: values(n), title }).collect())
    }
}
