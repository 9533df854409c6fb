//! URLs of objects in object storage, signed where there are keys in the environment.

use std::time::Duration;

use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

/// How long a signed URL is valid; each request gets its own.
const VALID: Duration = Duration::from_secs(3600);

/// The URL for a GET of `s3://BUCKET/KEY`, `gs://BUCKET/KEY` or a URL itself.
///
/// S3 takes `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`
/// (or `AWS_DEFAULT_REGION`) and `AWS_ENDPOINT_URL`; Google's storage takes its HMAC keys,
/// `GS_ACCESS_KEY_ID` and `GS_SECRET_ACCESS_KEY`. Without keys the request is anonymous.
pub(super) fn resolve(url: &str) -> Result<String, String> {
    let object = |length: usize| url[length..].split_once('/').unwrap_or((&url[length..], ""));
    let scheme = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
    match scheme.as_str() {
        "s3" => s3(object("s3://".len())),
        "gs" => google(object("gs://".len())),
        _ => Ok(url.to_owned()),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn s3((bucket, key): (&str, &str)) -> Result<String, String> {
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let region = region.unwrap_or_else(|| "us-east-1".into());
    let own = variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL"));
    // A dot in a bucket's name would not fit the certificate of the host.
    let style = match own.is_some() || bucket.contains('.') {
        true => UrlStyle::Path,
        false => UrlStyle::VirtualHost,
    };
    let endpoint = own.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    signed(&endpoint, style, region, Credentials::from_env(), bucket, key)
}

fn google((bucket, key): (&str, &str)) -> Result<String, String> {
    let keys = variable("GS_ACCESS_KEY_ID").zip(variable("GS_SECRET_ACCESS_KEY"));
    let keys = keys.map(|(key, secret)| Credentials::new(key, secret));
    let endpoint = "https://storage.googleapis.com";
    signed(endpoint, UrlStyle::Path, "auto".into(), keys, bucket, key)
}

fn signed(
    endpoint: &str,
    style: UrlStyle,
    region: String,
    keys: Option<Credentials>,
    bucket: &str,
    key: &str,
) -> Result<String, String> {
    if bucket.is_empty() || key.is_empty() {
        return Err("write s3://BUCKET/KEY or gs://BUCKET/KEY".into());
    }
    let endpoint = endpoint.parse().map_err(|error| format!("its endpoint is no URL ({error})"))?;
    let bucket = Bucket::new(endpoint, style, bucket.to_owned(), region)
        .map_err(|error| format!("its bucket has no URL ({error})"))?;
    Ok(match &keys {
        Some(keys) => bucket.get_object(Some(keys), key).sign(VALID).to_string(),
        None => bucket.object_url(key).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_objects_are_those_of_their_services() {
        let keys = || Some(Credentials::new("KEY", "SECRET"));
        let aws = |bucket: &str, style, keys| {
            let endpoint = "https://s3.eu-west-1.amazonaws.com";
            signed(endpoint, style, "eu-west-1".into(), keys, bucket, "a/b c.tar").unwrap()
        };
        let open = aws("photos", UrlStyle::VirtualHost, None);
        assert_eq!(open, "https://photos.s3.eu-west-1.amazonaws.com/a/b%20c.tar");
        let closed = aws("photos", UrlStyle::Path, keys());
        assert!(closed.starts_with("https://s3.eu-west-1.amazonaws.com/photos/a/b%20c.tar?"));
        for part in
            ["X-Amz-Credential=KEY%2F", "%2Feu-west-1%2Fs3%2Faws4_request", "X-Amz-Signature="]
        {
            assert!(closed.contains(part), "{closed} lacks {part}");
        }
        assert!(!closed.contains("SECRET"));
        let google = google(("photos", "x.tar")).unwrap();
        assert!(google.starts_with("https://storage.googleapis.com/photos/x.tar"), "{google}");
        assert!(resolve("s3://photos").is_err());
        let url = "https://host/x.tar?sig=a%2Fb";
        assert_eq!(resolve(url).unwrap(), url);
    }
}
