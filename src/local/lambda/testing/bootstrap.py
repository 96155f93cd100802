#!/usr/bin/env python3
"""A function for the tests: does what its event says."""
import http.client, json, os, random, signal, subprocess, sys, threading, time

runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def call(method, path, body=None):
    runtime.request(method, f"/2018-06-01/runtime/{path}", body)
    response = runtime.getresponse()
    return response, response.read()


init = os.environ.get("INIT", "")
if init == "crash":
    print("cannot start", flush=True)
    sys.exit(3)
if init == "hang":
    time.sleep(60)
if init == "error":
    call("POST", "init/error", json.dumps({"errorType": "Init.Bad", "errorMessage": "no config"}))
    sys.exit(1)

count = 0
while True:
    response, body = call("GET", "invocation/next")
    if response.status != 200:
        sys.exit(0)
    request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
    event = json.loads(body or b"null")
    wish = event.get("do", "echo") if isinstance(event, dict) else "echo"
    count += 1
    answer = event
    if wish == "sleep":
        time.sleep(event["seconds"])
    elif wish == "crash":
        print("about to crash", flush=True)
        os._exit(7)
    elif wish == "deaf":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(60)
    elif wish == "ask again":
        response, body = call("GET", "invocation/next")
        print(f"{response.status} {body.decode()}", flush=True)
        sys.exit(0)
    elif wish == "ask twice":
        def ask(address=os.environ["AWS_LAMBDA_RUNTIME_API"], file=event["file"]):
            time.sleep(0.3)
            second = http.client.HTTPConnection(address)
            second.request("GET", "/2018-06-01/runtime/invocation/next")
            with open(file, "a") as file:
                file.write(f"{second.getresponse().status}\n")
        threading.Thread(target=ask, daemon=True).start()
    elif wish == "noise":
        random.seed(event["seed"])
        pieces = ["/2018-06-01/runtime/", "invocation/", "next", "response", "error", "init/error", "/", "x", "%00",
                  "?a=b", "..", "00000000-0000-0000-0000-000000000000/"]
        answer = []
        for _ in range(event["times"]):
            noise = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
            path = "/" + "".join(random.choices(pieces, k=random.randrange(6)))
            noise.putrequest(random.choice(["GET", "POST", "PUT", "HEAD", "X"]), path, skip_host=random.random() < 0.1)
            body = random.randbytes(random.randrange(300))
            noise.putheader("Content-Length", len(body))
            if random.random() < 0.5:
                noise.putheader("Lambda-Runtime-Function-Error-Type", random.randbytes(9).hex())
            noise.endheaders(body)
            answer.append(noise.getresponse().status)
    elif wish == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif wish == "child":
        child = subprocess.Popen(["sleep", "60"])
        answer = {"pid": child.pid}
        if event.get("hang"):
            print(f"child {child.pid}", flush=True)
            time.sleep(60)
    elif wish == "print":
        for number in range(event["lines"]):
            print(f"line {number}")
        sys.stdout.flush()
    elif wish == "flood":
        chunk = "x" * 1023 + "\n"
        while True:
            sys.stdout.write(chunk)
    elif wish == "big":
        answer = "x" * event["bytes"]
    elif wish == "environment":
        answer = dict(os.environ)
    elif wish == "who":
        answer = {"pid": os.getpid(), "count": count}
    elif wish == "deadline":
        left = int(response.headers["Lambda-Runtime-Deadline-Ms"]) - time.time() * 1000
        answer = {"left": left, "arn": response.headers["Lambda-Runtime-Invoked-Function-Arn"],
                  "trace": response.headers["Lambda-Runtime-Trace-Id"]}
    elif wish == "answer":
        answer = event["answer"]
    elif wish == "append":
        with open(event["file"], "a") as file:
            file.write(json.dumps(event) + "\n")
        if event.get("fail"):
            wish = "fail"
    elif "ANSWER" in os.environ:
        answer = json.loads(os.environ["ANSWER"])
    elif isinstance(event, dict) and os.environ.get("RECORD"):
        with open(os.environ["RECORD"], "a") as file:
            file.write(json.dumps(event) + "\n")
        answer = {"statusCode": 200, "body": "recorded"}
        if os.environ.get("FAIL"):
            wish = "fail"
    if wish == "fail":
        error = json.dumps({"errorType": "Sad", "errorMessage": "as told"})
        call("POST", f"invocation/{request_id}/error", error)
    else:
        call("POST", f"invocation/{request_id}/response", json.dumps(answer))
