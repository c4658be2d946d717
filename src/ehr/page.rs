//! Reading page by page, as text: what is kept is what came, to the letter.

use chrono::{DateTime, Utc};
use reqwest::header::{CACHE_CONTROL, DATE};
use reqwest::{Method, Url};

use super::client::EhrClient;
use super::failure::Failure;

/// A page, or one resource, as it came.
#[derive(Clone, Debug)]
pub struct PageText {
    pub text: String,
    /// When the server sent it, by its clock.
    pub date: Option<DateTime<Utc>>,
}

impl EhrClient {
    /// `GET Type?query`, the query ready to be sent.
    pub async fn search_text(&self, kind: &str, query: &str) -> Result<PageText, Failure> {
        let mut url = self.kind(kind)?;
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        self.text(url).await
    }

    /// `GET Type/_history?query`, the query ready to be sent.
    pub async fn history_text(&self, kind: &str, query: &str) -> Result<PageText, Failure> {
        let mut url = self.kind(kind)?;
        url.set_path(&format!("{}/_history", url.path()));
        url.set_query(Some(query));
        self.text(url).await
    }

    pub async fn read_text(&self, kind: &str, id: &str) -> Result<PageText, Failure> {
        self.text(self.resource(kind, id)?).await
    }

    /// A page's `next`, as long as it stays on this server.
    pub async fn follow_text(&self, link: &str) -> Result<PageText, Failure> {
        self.text(self.http().url(link)?).await
    }

    /// `GET Subscription/id/$events`: the events from a number on.
    pub async fn events(&self, subscription: &str, from: i64) -> Result<PageText, Failure> {
        let id = subscription.trim_start_matches("Subscription/");
        let mut url = self.resource("Subscription", id)?;
        url.set_path(&format!("{}/$events", url.path()));
        url.set_query(Some(&format!("eventsSinceNumber={from}&content=id-only")));
        self.text(url).await
    }

    async fn text(&self, url: Url) -> Result<PageText, Failure> {
        // HAPI answers the same search from memory for a minute: what has just changed would be missing.
        let sent = self.http().send(Method::GET, url, None, Some((CACHE_CONTROL, "no-cache"))).await?;
        let date = sent.headers.get(DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
        let unread =
            Failure::Unanswered { cause: "the answer is not UTF-8", status: Some(sent.status), retry_after: None };
        Ok(PageText { text: String::from_utf8(sent.body).map_err(|_| unread)?, date: date.map(Into::into) })
    }
}
