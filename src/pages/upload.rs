//! A form with a file, as a page of ours sends it.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use multer::Multipart;

use super::Pages;
use super::response::ProblemPage;
use super::session::{FormPost, visitor_with_body};
use crate::problem::Problem;

/// The fields of a form and the file that was chosen.
pub struct UploadPost {
    pub form: FormPost,
    /// `None` where no file was chosen.
    pub file: Option<Bytes>,
}

impl FromRequest<Pages> for UploadPost {
    type Rejection = Response;

    async fn from_request(request: Request, pages: &Pages) -> Result<Self, Response> {
        let (visitor, headers, bytes) = visitor_with_body(request, pages, |limit| limit.bundle).await?;
        let refused = |problem: Problem| ProblemPage(problem).into_response();
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let (fields, file) = read(kind, bytes).await.map_err(refused)?;
        let form = FormPost::checked(visitor, &headers, fields).map_err(refused)?;
        Ok(Self { form, file })
    }
}

async fn read(kind: &str, bytes: Bytes) -> Result<(Vec<(String, String)>, Option<Bytes>), Problem> {
    let broken = |_| Problem::malformed("the form did not arrive whole; send it again");
    let boundary = multer::parse_boundary(kind).map_err(broken)?;
    let mut parts = Multipart::new(stream::iter([Ok::<_, Infallible>(bytes)]), boundary);
    let (mut fields, mut file) = (Vec::new(), None);
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        if part.file_name().is_some() {
            file = Some(part.bytes().await.map_err(broken)?).filter(|file| !file.is_empty());
        } else {
            fields.push((name, part.text().await.map_err(broken)?));
        }
    }
    Ok((fields, file))
}
