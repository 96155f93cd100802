"""Checks requests, and lists what answers have, against AWS's own service models. Reads and writes JSON lines.

[{"service", "method", "uri", "target", "body"}] -> {"violations": [text], "operations": {operation: count}}
{"service", "operation", "root"} -> [{"path", "type", "values"}], the members of an answer by their names on the wire

Besides what the models say, it knows limits that AWS states in its documentation only.
"""

import base64
import json
import re
import sys
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.loaders import Loader

NAMES = {
    "apigateway": "apigatewayv2",
    "tagging": "resourcegroupstaggingapi",
}
# Of names the models say less than the services: (service, member) to shortest, longest, pattern.
DOCUMENTED = {
    ("dynamodb", "TableName"): (3, 255, r"[a-zA-Z0-9_.-]+"),
    ("dynamodb", "AttributeName"): (1, 255, None),
    ("sns", "Name"): (1, 256, r"[A-Za-z0-9_-]+"),
    ("lambda", "FunctionName"): (1, 64, r"[A-Za-z0-9_-]+"),
    ("apigateway", "RouteKey"): (1, 1024, r"\$default|[A-Z]+ /.*"),
}
RETENTION = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096]
RETENTION += [1827, 2192, 2557, 2922, 3288, 3653]
ROLE_POLICIES = 10_240
RESOURCE_POLICY = 20_480
ENVIRONMENT = 4_096


def python_pattern(pattern):
    """Java's classes of Unicode, as Python spells them, within brackets or alone."""
    for java, python in [
        (r"\p{L}", r"A-Za-z\u00aa-\U0010ffff"),
        (r"\p{Z}", r" \u00a0\u2000-\u200a\u3000"),
        (r"\p{N}", r"0-9"),
    ]:
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


class Model:
    def __init__(self, service):
        self.service = service
        self.model = Loader().load_service_model(NAMES.get(service, service), "service-2")
        self.shapes = self.model["shapes"]
        self.patterns = {}
        self.routes = []
        for name, operation in self.model["operations"].items():
            path = operation["http"]["requestUri"].split("?")[0]
            parts = re.split(r"(\{[^}]+\})", path)
            names = [part.strip("{}+") for part in parts if part.startswith("{")]
            fixed = "".join(
                (r"(.+)" if part.endswith("+}") else r"([^/]+)")
                if part.startswith("{")
                else re.escape(part)
                for part in parts
            )
            self.routes.append((operation["http"]["method"], re.compile(fixed + "/?"), names, name))

    def decode(self, request):
        """The operation's name, and its input as the model's shapes have it."""
        protocol = self.model["metadata"]["protocol"]
        body = base64.b64decode(request["body"])
        if protocol == "json":
            return request["target"].split(".")[-1], json.loads(body or b"{}")
        if protocol == "query":
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
            operation = fields.pop("Action")
            assert fields.pop("Version") == self.model["metadata"]["apiVersion"]
            shape = self.shapes[self.model["operations"][operation]["input"]["shape"]]
            used = set()
            value = self.query(shape, fields, "", used)
            unknown = set(fields) - used
            assert not unknown, f"{operation} has no {sorted(unknown)}"
            return operation, value
        uri = urlsplit(request["uri"])
        fits = [
            (len(names), operation, dict(zip(names, match.groups())))
            for method, pattern, names, operation in self.routes
            if method == request["method"] and (match := pattern.fullmatch(uri.path))
        ]
        assert fits, f"no operation of {self.service} is {request['method']} {uri.path}"
        _, operation, labels = min(fits, key=lambda fit: fit[0])
        value = self.rest(operation, labels, dict(parse_qsl(uri.query)), json.loads(body or b"{}"))
        return operation, value

    def query(self, shape, fields, prefix, used):
        kind = shape["type"]
        if kind == "structure":
            value = {}
            for name, member in shape["members"].items():
                path = f"{prefix}{member.get('locationName', name)}"
                if path in fields or any(field.startswith(path + ".") for field in fields):
                    inner = self.shapes[member["shape"]]
                    value[name] = self.query(inner, fields, path, used) if inner["type"] not in (
                        "structure", "list", "map") else self.query(inner, fields, path + ".", used)
            return value
        if kind == "list":
            prefix += "" if shape.get("flattened") else f"{shape['member'].get('locationName', 'member')}."
            inner, value = self.shapes[shape["member"]["shape"]], []
            if prefix.rstrip(".").removesuffix(".member") in fields:
                used.add(prefix.rstrip(".").removesuffix(".member"))
            while any(field == f"{prefix}{len(value) + 1}" or field.startswith(f"{prefix}{len(value) + 1}.")
                      for field in fields):
                path = f"{prefix}{len(value) + 1}"
                nested = inner["type"] in ("structure", "list", "map")
                value.append(self.query(inner, fields, path + "." if nested else path, used))
            return value
        if kind == "map":
            value, number = {}, 1
            while f"{prefix}entry.{number}.key" in fields:
                key, of = f"{prefix}entry.{number}.key", f"{prefix}entry.{number}.value"
                value[fields[key]] = fields.get(of)
                used.update((key, of))
                number += 1
            return value
        used.add(prefix)
        text = fields[prefix]
        if kind in ("integer", "long"):
            return int(text)
        return {"true": True, "false": False}[text] if kind == "boolean" else text

    def rest(self, operation, labels, query, body):
        shape = self.shapes[self.model["operations"][operation]["input"]["shape"]]
        value, used = {}, set()
        for name, member in shape["members"].items():
            where, wire = member.get("location"), member.get("locationName", name)
            if where == "uri":
                value[name] = unquote(labels[wire])
            elif where == "querystring":
                if wire in query:
                    value[name] = query.pop(wire)
            elif where is None and wire in body:
                value[name] = self.renamed(self.shapes[member["shape"]], body[wire])
                used.add(wire)
        assert not query, f"{operation} has no {query}"
        assert set(body) <= used, f"{operation} has no {set(body) - used}"
        return value

    def renamed(self, shape, value):
        if shape["type"] == "structure" and isinstance(value, dict):
            names = {m.get("locationName", n): n for n, m in shape["members"].items()}
            return {
                names.get(wire, wire): self.renamed(self.shapes[shape["members"][names[wire]]["shape"]], inner)
                if wire in names
                else inner
                for wire, inner in value.items()
            }
        if shape["type"] == "list":
            return [self.renamed(self.shapes[shape["member"]["shape"]], inner) for inner in value]
        return value

    def check(self, name, value, path, member=None):
        """Texts that say what of `value` the shape `name` does not allow."""
        shape = self.shapes[name]
        kind = shape["type"]
        least, most, pattern = shape.get("min"), shape.get("max"), shape.get("pattern")
        if bounds := re.fullmatch(r"(?:String|Uri|Integer)WithLengthBetween(\d+)And(\d+)", name):
            least, most = int(bounds[1]), int(bounds[2])
        if kind == "structure":
            if not isinstance(value, dict):
                yield f"{path} is no structure: {value!r}"
                return
            for required in shape.get("required", []):
                if value.get(required) in (None, ""):
                    yield f"{path} lacks {required}"
            for inner, given in value.items():
                if inner not in shape["members"]:
                    yield f"{path} has no {inner}"
                elif given is not None:
                    yield from self.check(
                        shape["members"][inner]["shape"], given, f"{path}.{inner}", inner
                    )
        elif kind == "list":
            yield from bounded(path, len(value), least, most)
            for number, item in enumerate(value):
                yield from self.check(shape["member"]["shape"], item, f"{path}[{number}]")
        elif kind == "map":
            yield from bounded(path, len(value), least, most)
            for key, item in value.items():
                yield from self.check(shape["key"]["shape"], key, f"{path} key {key!r}")
                yield from self.check(shape["value"]["shape"], item, f"{path}[{key!r}]")
        elif kind == "string":
            if not isinstance(value, str):
                yield f"{path} is no string: {value!r}"
                return
            yield from self.text(path, value, least, most, pattern)
            if "enum" in shape and value not in shape["enum"]:
                yield f"{path}: {value!r} is none of {shape['enum']}"
            if member and (more := DOCUMENTED.get((self.service, member))):
                yield from self.text(path, value, *more)
        elif kind in ("integer", "long", "double", "float"):
            number = (int, float) if kind in ("double", "float") else int
            if isinstance(value, bool) or not isinstance(value, number):
                yield f"{path} is no {kind}: {value!r}"
                return
            yield from bounded(path, value, least, most)
        elif kind == "boolean" and not isinstance(value, bool):
            yield f"{path} is no boolean: {value!r}"

    def text(self, path, value, least, most, pattern):
        yield from bounded(path, len(value), least, most)
        if pattern:
            if pattern not in self.patterns:
                self.patterns[pattern] = python_pattern(pattern)
            if not self.patterns[pattern].fullmatch(value):
                yield f"{path}: {value!r} does not match {pattern}"


def bounded(path, size, least, most):
    if least is not None and size < least:
        yield f"{path}: {size} is less than {least}"
    if most is not None and size > most:
        yield f"{path}: {size} is more than {most}"


class Documented:
    """Limits over several requests of one run."""

    def __init__(self):
        self.roles = {}
        self.policies = {}

    def check(self, service, operation, value):
        if (service, operation) == ("iam", "PutRolePolicy"):
            policies = self.roles.setdefault(value["RoleName"], {})
            document = value["PolicyDocument"]
            json.loads(document)
            policies[value["PolicyName"]] = len(re.sub(r"\s", "", document))
            yield from bounded(f"policies of {value['RoleName']}", sum(policies.values()), 1, ROLE_POLICIES)
        if service == "lambda" and "Environment" in value:
            variables = json.dumps(
                value["Environment"]["Variables"], separators=(",", ":"), ensure_ascii=False
            )
            yield from bounded("environment", len(variables.encode()), 0, ENVIRONMENT)
        if (service, operation) == ("lambda", "AddPermission"):
            statement = {
                "Sid": value["StatementId"],
                "Effect": "Allow",
                "Principal": {"Service": value["Principal"]},
                "Action": value["Action"],
                "Resource": "arn:aws:lambda:us-east-1:123456789012:function:" + value["FunctionName"],
                "Condition": {"ArnLike": {"AWS:SourceArn": value["SourceArn"]}},
            }
            policy = self.policies.setdefault(value["FunctionName"], {})
            policy[value["StatementId"]] = statement
            whole = {"Version": "2012-10-17", "Id": "default", "Statement": list(policy.values())}
            size = len(json.dumps(whole, separators=(",", ":")))
            yield from bounded(f"policy of {value['FunctionName']}", size, 1, RESOURCE_POLICY)
        if (service, operation) == ("logs", "PutRetentionPolicy"):
            if value["retentionInDays"] not in RETENTION:
                yield f"logs are not kept for {value['retentionInDays']} days"
        if operation == "CreateStage":
            throttle = value["DefaultRouteSettings"]
            yield from bounded("rate", throttle["ThrottlingRateLimit"], 0, None)
            yield from bounded("burst", throttle["ThrottlingBurstLimit"], 0, 2**31 - 1)


MODELS = {}


def check(requests):
    violations, operations, documented = [], {}, Documented()
    for request in requests:
        service = request["service"]
        try:
            if service not in MODELS:
                MODELS[service] = Model(service)
            model = MODELS[service]
            operation, value = model.decode(request)
            shape = model.model["operations"][operation].get("input", {}).get("shape")
            found = list(model.check(shape, value, operation)) if shape else []
            found += documented.check(service, operation, value)
        except (AssertionError, KeyError, ValueError) as error:
            operation = request["target"] or request["uri"]
            found = [f"{service} {request['method']} {operation}: {error!r}"]
        violations += found
        name = f"{service}:{operation}"
        operations[name] = operations.get(name, 0) + 1
    return {"violations": violations, "operations": operations}


def members(service, operation, root):
    """Every member of an operation's output below `root` that has no members itself."""
    model = Loader().load_service_model(NAMES.get(service, service), "service-2")
    shapes, found = model["shapes"], []

    def example(name):
        shape = shapes[name]
        if shape["type"] == "map":
            return {"by-hand": example(shape["value"]["shape"])}
        if shape["type"] == "structure":
            return {of.get("locationName", it): example(of["shape"]) for it, of in shape["members"].items()}
        if shape["type"] == "list":
            return [example(shape["member"]["shape"])]
        if "enum" in shape:
            return shape["enum"][0]
        return {"string": "by-hand", "boolean": True}.get(shape["type"], 7)

    def walk(name, path, above):
        shape = shapes[name]
        if shape["type"] == "structure" and shape["members"] and name not in above:
            for member, of in shape["members"].items():
                walk(of["shape"], path + [of.get("locationName", member)], above | {name})
        elif shape["type"] == "list":
            walk(shape["member"]["shape"], path[:-1] + [path[-1] + "[]"], above)
        elif shape["type"] == "map":
            found.append({"path": ".".join(path), "type": "map", "values": [json.dumps(example(name))]})
        else:
            found.append({"path": ".".join(path), "type": shape["type"], "values": shape.get("enum", [])})

    output = model["operations"][operation]["output"]["shape"]
    if service == "sns" and root == "Attributes":
        # The model has them as a map, and their names in its documentation only.
        for texts in (
            shapes[output]["members"]["Attributes"],
            *shapes[model["operations"][operation.replace("Get", "Set")]["input"]["shape"]]["members"].values(),
        ):
            for name in re.findall(r"<li>\s*<p>\s*<code>([A-Za-z]+)</code>", texts.get("documentation", "")):
                # Values of FifoThroughputScope and FilterPolicyScope.
                if name not in ("Topic", "MessageGroup", "MessageAttributes", "MessageBody"):
                    found.append({"path": name, "type": "string", "values": []})
        return list({member["path"]: member for member in found}.values())
    walk(output, [], frozenset())
    prefix = f"{root}." if root else ""
    return [{**it, "path": it["path"].removeprefix(prefix)} for it in found if it["path"].startswith(prefix)]


for line in sys.stdin:
    request = json.loads(line)
    answer = members(**request) if isinstance(request, dict) else check(request)
    print(json.dumps(answer), flush=True)
