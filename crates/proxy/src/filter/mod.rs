//! Steps on a route that may change, answer or refuse, in the route's order.

mod change;
mod custom;
mod redirect;
mod rewrite;

pub use custom::{CustomFilter, Flow};

use crate::{
    body::Body,
    error::ProxyError,
    request::{Asked, Exchange},
};
use evenkeel_model::{Filter, FixedResponse, Route};
use http::{HeaderValue, Request, Response, header};

/// Runs a route's filters over a request that is about to leave. The first one that answers ends it.
pub(crate) async fn on_request(
    route: &Route,
    request: &mut Request<Body>,
    exchange: &Exchange,
) -> Result<Flow, ProxyError> {
    for filter in &route.filters {
        match filter {
            Filter::RequestHeader(change) => change::apply(change, request.headers_mut()),
            Filter::ResponseHeader(_) => {}
            Filter::Redirect(to) => {
                return redirect::answer(to, request, &Asked::of(request.headers(), exchange)).map(Flow::Answer);
            }
            Filter::FixedResponse(fixed) => return Ok(Flow::Answer(fixed_response(fixed))),
            Filter::PrefixRewrite(replacement) => rewrite::apply(replacement, route, request)?,
            Filter::Custom(name) => {
                let custom = exchange.worker().custom(name)?;
                // Boxed by the trait: only routes that use one pay for it.
                if let Flow::Answer(response) = custom.on_request(request).await.map_err(ProxyError::Filter)? {
                    return Ok(Flow::Answer(response));
                }
            }
        }
    }
    Ok(Flow::Continue)
}

/// Runs a route's filters over a response, also over one that a filter made.
pub(crate) fn on_response(
    filters: &[Filter],
    response: &mut Response<Body>,
    exchange: &Exchange,
) -> Result<(), ProxyError> {
    for filter in filters {
        match filter {
            Filter::ResponseHeader(change) => change::apply(change, response.headers_mut()),
            Filter::Custom(name) => exchange.worker().custom(name)?.on_response(response),
            Filter::RequestHeader(_) | Filter::Redirect(_) | Filter::FixedResponse(_) | Filter::PrefixRewrite(_) => {}
        }
    }
    Ok(())
}

fn fixed_response(fixed: &FixedResponse) -> Response<Body> {
    let mut response = Response::new(Body::from(fixed.body.to_string()));
    *response.status_mut() = fixed.status;
    // RFC 9110, sections 15.3.5 and 15.4.5: 204 and 304 have no content.
    if matches!(fixed.status.as_u16(), 204 | 304) {
        *response.body_mut() = Body::empty();
    } else {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(fixed.body.len()));
        response.headers_mut().insert(header::CONTENT_TYPE, fixed.content_type.clone());
    }
    response
}
