//! Signatures that AWS publishes, and what is refused.

use axum::http::Request;

use super::super::call::Principal;
use super::*;

/// The key of AWS's published test vectors.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TIME: &str = "20150830T123600Z";

fn holder(token: Option<&str>) -> Holder {
    let token = token.map(str::to_owned);
    Holder { principal: Principal::Operator, secret: SECRET.to_owned(), token }
}

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn authorization(signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders={signed}, Signature={signature}"
    )
}

fn verdict(parts: &Parts, body: &[u8], token: Option<&str>, late: i64) -> Result<(), Refused> {
    let claim = Claim::of(parts)?;
    let now = moment(TIME).unwrap();
    let by = Duration::from_secs(late.unsigned_abs());
    let now = if late < 0 { now - by } else { now + by };
    let holder = holder(token);
    claim.check(&holder, &parts.headers, now)?;
    claim.verify(&holder, parts, body, &SigningKeys::default())
}

/// Signatures of AWS's test suite for Signature Version 4.
#[test]
fn published_signatures_are_accepted_and_no_others() {
    let host = ("host", "example.amazonaws.com");
    let date = ("x-amz-date", TIME);
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let ordered = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
    for (uri, signature) in [
        ("/", vanilla),
        ("/?Param2=value2&Param1=value1", ordered),
        ("/?Param1=value1&Param2=value2", ordered),
        ("//", vanilla),
        ("/./", vanilla),
        ("/foo/..", vanilla),
    ] {
        let authorization = authorization("host;x-amz-date", signature);
        let headers = [host, date, ("authorization", authorization.as_str())];
        let request = parts("GET", uri, &headers);
        assert_eq!(verdict(&request, b"", None, 0), Ok(()), "{uri}");
        let refused = Err(Refused::differs());
        assert_eq!(verdict(&request, b"x", None, 0), refused, "{uri}: another body");
        let other = parts("POST", uri, &headers);
        assert_eq!(verdict(&other, b"", None, 0), refused, "{uri}: another method");
        let other = parts(
            "GET",
            &format!("{uri}&x=1").replacen('&', "?", usize::from(!uri.contains('?'))),
            &headers,
        );
        assert_eq!(verdict(&other, b"", None, 0), refused, "{uri}: another query");
        let host = ("host", "example.amazonaws.org");
        let other = parts("GET", uri, &[host, date, headers[2]]);
        assert_eq!(verdict(&other, b"", None, 0), refused, "{uri}: another host");
        assert_eq!(verdict(&request, b"", Some("token"), 0), Err(Refused::UnknownKey));
    }
}

#[test]
fn clocks_may_differ_by_five_minutes() {
    let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let authorization = authorization("host;x-amz-date", signature);
    let headers = [
        ("host", "example.amazonaws.com"),
        ("x-amz-date", TIME),
        ("authorization", authorization.as_str()),
    ];
    let request = parts("GET", "/", &headers);
    for late in [-300, -1, 300] {
        assert_eq!(verdict(&request, b"", None, late), Ok(()), "{late}");
    }
    let Err(Refused::Mismatch(why)) = verdict(&request, b"", None, 301) else { panic!("late") };
    assert_eq!(
        why,
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z \
         (20150830T124101Z - 5 min.)"
    );
    let Err(Refused::Mismatch(why)) = verdict(&request, b"", None, -301) else { panic!("early") };
    assert!(why.starts_with("Signature not yet current: 20150830T123600Z"), "{why}");
}

#[test]
fn host_and_operation_must_be_signed() {
    for (signed, more) in [("x-amz-date", None), ("host;x-amz-date", Some("x-amz-target"))] {
        let authorization = authorization(signed, "00");
        let mut headers =
            vec![("host", "h"), ("x-amz-date", TIME), ("authorization", authorization.as_str())];
        headers.extend(more.map(|name| (name, "DynamoDB_20120810.DeleteTable")));
        let Err(Refused::Mismatch(why)) = verdict(&parts("POST", "/", &headers), b"", None, 0)
        else {
            panic!("{signed}")
        };
        assert!(why.contains("must be a 'SignedHeader'"), "{why}");
    }
}

#[test]
fn moments_are_read_and_written() {
    for text in ["20150830T123600Z", "20240229T235959Z", "19700101T000000Z"] {
        assert_eq!(moment(text).map(stamp).as_deref(), Some(text));
    }
    for text in ["", "20150830T123600", "20150230T123600Z", "20150830T243600Z", "2015083aT123600Z"]
    {
        assert_eq!(moment(text), None, "{text}");
    }
}
