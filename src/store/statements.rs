//! How a statement is run: one text, on whichever engine is open.

/// Runs one query text on whichever engine is open.
macro_rules! on {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match $tx.engine() {
            $crate::store::transaction::EngineConnection::Postgres(pooled) => {
                let $conn = &mut **pooled;
                $body
            }
            $crate::store::transaction::EngineConnection::Sqlite(pooled) => {
                let $conn = &mut **pooled;
                $body
            }
        }
    };
}

/// Executes a statement; the number of rows it touched.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {{
        let tx: &mut $crate::store::WriteTx = $tx;
        on!(tx, |conn| sqlx::query($sql)$(.bind($bind))*.execute(conn).await.map(|done| done.rows_affected()))
    }};
}

/// Every row, as a type that derives `FromRow`.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {{
        let tx: &mut $crate::store::ReadTx = $tx;
        on!(tx, |conn| sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_all(conn).await)
    }};
}

/// The first row, if there is one.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {{
        let tx: &mut $crate::store::ReadTx = $tx;
        on!(tx, |conn| sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_optional(conn).await)
    }};
}

/// Every row whose key is in a list of any length.
macro_rules! fetch_listed {
    ($tx:expr, $row:ty, $texts:expr, $values:expr $(, $bind:expr)* $(,)?) => {{
        let tx: &mut $crate::store::ReadTx = $tx;
        let mut all: Vec<$row> = Vec::new();
        for (text, room, values) in $texts.lists($values) {
            let rows = on!(tx, |conn| {
                let mut query = sqlx::query_as::<_, $row>(text)$(.bind($bind))*;
                for place in 0..room {
                    query = query.bind(values.get(place).unwrap_or(&values[0]).to_owned());
                }
                query.fetch_all(conn).await
            });
            all.extend(rows.map_err($crate::store::failed)?);
        }
        all
    }};
}

/// Writes rows, several in a statement; how many rows were touched.
macro_rules! execute_rows {
    ($tx:expr, $texts:expr, $clinic:expr, $rows:expr, |$row:ident| $($bind:expr),+ $(,)?) => {{
        let tx: &mut $crate::store::WriteTx = $tx;
        let mut touched = 0;
        for (text, piece) in $texts.pieces($rows) {
            let done = on!(tx, |conn| {
                let mut query = sqlx::query(text).bind($clinic);
                for $row in piece {
                    query = query$(.bind($bind))+;
                }
                query.execute(conn).await.map(|done| done.rows_affected())
            });
            touched += done.map_err($crate::store::failed)?;
        }
        touched
    }};
}

/// Executes a statement about every row whose key is in a list of any length.
macro_rules! execute_listed {
    ($tx:expr, $texts:expr, $clinic:expr, $values:expr) => {{
        let tx: &mut $crate::store::WriteTx = $tx;
        for (text, room, values) in $texts.lists($values) {
            let done = on!(tx, |conn| {
                let mut query = sqlx::query(text).bind($clinic);
                for place in 0..room {
                    query = query.bind(values.get(place).unwrap_or(&values[0]).to_owned());
                }
                query.execute(conn).await.map(|_| ())
            });
            done.map_err($crate::store::failed)?;
        }
    }};
}

/// What a statement that writes returns: every row.
macro_rules! returning_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {{
        let tx: &mut $crate::store::WriteTx = $tx;
        fetch_all!(tx, $row, $sql $(, $bind)*)
    }};
}

/// What a statement that writes returns: the first row, if there is one.
macro_rules! returning_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {{
        let tx: &mut $crate::store::WriteTx = $tx;
        fetch_optional!(tx, $row, $sql $(, $bind)*)
    }};
}
