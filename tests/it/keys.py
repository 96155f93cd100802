"""Requests that AWS would refuse, and some that it would not, as JSON: what is asked to the answer."""

import datetime
import http.client
import json
import os
import sys
import time
import urllib.parse

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
KEY, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


def target(name, kind="1.0"):
    return {"X-Amz-Target": name, "Content-Type": f"application/x-amz-json-{kind}"}


CALLS = {
    "dynamodb": ("dynamodb", "POST", "/", target("DynamoDB_20120810.ListTables"), "{}"),
    "logs": ("logs", "POST", "/", target("Logs_20140328.DescribeLogGroups", "1.1"), "{}"),
    "sns": ("sns", "POST", "/", FORM, "Action=ListTopics&Version=2010-03-31"),
    "iam": ("iam", "POST", "/", FORM, "Action=ListRoles&Version=2010-05-08"),
    "sts": ("sts", "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", {}, ""),
    "lambda": ("lambda", "GET", "/2015-03-31/functions/?MaxItems=5", {}, ""),
    "encoded": ("lambda", "GET", "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A0%3Afunction%3Ax", {}, ""),
    "apigateway": ("apigateway", "GET", "/v2/apis", {}, ""),
}


def send(method, path, headers, body):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(ENDPOINT).netloc, timeout=30)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    kind = answer.getheader("x-amzn-errortype") or ""
    return [answer.status, kind + " " + answer.read().decode()]


def signed(name, key=KEY, secret=SECRET, token=None, seconds=0, body=None, **headers):
    service, method, path, own, text = CALLS[name]
    request = botocore.awsrequest.AWSRequest(method, ENDPOINT + path, {**own, **headers}, text)
    credentials = botocore.credentials.Credentials(key, secret, token)
    auth = botocore.auth.SigV4Auth(credentials, service, "us-east-1")
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    string = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(string, request))
    return send(method, path, dict(request.headers.items()), text if body is None else body)


def presigned():
    def url(**more):
        sts = boto3.client("sts", region_name="us-east-1")
        url = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET", **more)
        return urllib.parse.urlsplit(url)._replace(scheme="", netloc="").geturl()

    short = url(ExpiresIn=1)
    time.sleep(2.5)
    good = url()
    other = good.replace("GetCallerIdentity", "GetSessionToken")
    links = {"good": good, "expired": short, "another action": other, "wrong": good[:-1] + "x"}
    links["nothing signed"] = "/?Action=GetCallerIdentity&Version=2011-06-15"
    return {what: send("GET", link, {}, None) for what, link in links.items()}


answers = {"presigned": presigned()}
for name, (_, method, path, own, text) in CALLS.items():
    answers[name] = {
        "good": signed(name),
        "unsigned": send(method, path, own, text),
        "unknown key": signed(name, key="AKIAUNKNOWN"),
        "wrong secret": signed(name, secret=SECRET[:-1] + "x"),
        "token of nobody": signed(name, token="x"),
        "tampered body": signed(name, body=text + " "),
        "wrong hash": signed(name, **{"X-Amz-Content-SHA256": "0" * 64}),
        "unsigned payload": signed(name, body=text + " ", **{"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}),
        "late": signed(name, seconds=-310),
        "early": signed(name, seconds=310),
        "a little late": signed(name, seconds=-240),
    }
json.dump(answers, sys.stdout)
