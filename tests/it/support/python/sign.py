"""Signs what Slack would send, with Slack's own SDK: {"secret", "timestamp", "bodies"} -> [signature]"""

import json
import sys

from slack_sdk.signature import SignatureVerifier

request = json.load(sys.stdin)
verifier = SignatureVerifier(request["secret"])
print(
    json.dumps(
        [verifier.generate_signature(timestamp=request["timestamp"], body=body) for body in request["bodies"]]
    )
)
