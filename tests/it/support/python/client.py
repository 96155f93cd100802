"""An AWS client that is not ours. Reads requests as JSON lines, writes answers as JSON lines.

{"endpoint", "region", "key", "call": [service, method, {parameters}]} -> {"ok": ...} or {"error": code, "message"}
{"endpoint", "region", "key", "world": true}                           -> {"ok": the whole world}
"""

import base64
import datetime
import json
import re
import sys
from urllib.parse import unquote

import boto3
import botocore.config
import botocore.exceptions

CLIENTS = {}
NOT_FOUND = {
    "ResourceNotFoundException",
    "ResourceNotFound",
    "NoSuchEntity",
    "NotFound",
    "NotFoundException",
}


class Cloud:
    def __init__(self, request):
        self.endpoint = request["endpoint"]
        self.region = request["region"]
        self.key = request["key"]
        self.secret = request["secret"]

    def client(self, service):
        where = (self.endpoint, self.region, self.key, self.secret, service)
        if where not in CLIENTS:
            CLIENTS[where] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=self.region,
                aws_access_key_id=self.key,
                aws_secret_access_key=self.secret,
                config=botocore.config.Config(retries={"max_attempts": 1}, read_timeout=30),
            )
        return CLIENTS[where]

    def pages(self, service, operation, field, **parameters):
        client = self.client(service)
        if client.can_paginate(operation):
            pages = client.get_paginator(operation).paginate(**parameters)
        else:
            pages = [getattr(client, operation)(**parameters)]
        return [item for page in pages for item in page.get(field, [])]

    def get(self, service, operation, field, **parameters):
        """The field of the answer, or None if there is no such thing."""
        try:
            answer = getattr(self.client(service), operation)(**parameters)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in NOT_FOUND:
                return None
            raise
        return answer.get(field) if field else answer


def tags(items, key="Key", value="Value"):
    return {item[key]: item[value] for item in items or []}


def document(text):
    """A policy, whether it comes as text, quoted text or parsed; statements in a fixed order."""
    if text is None:
        return None
    policy = json.loads(unquote(text) if text.lstrip().startswith("%") else text) if isinstance(text, str) else text
    for statement in policy.get("Statement", []):
        for field in ("Action", "Resource"):
            if isinstance(statement.get(field), list):
                statement[field] = sorted(statement[field])
                if len(statement[field]) == 1:
                    statement[field] = statement[field][0]
    policy.get("Statement", []).sort(key=lambda statement: json.dumps(statement, sort_keys=True))
    return policy


def pick(source, *fields):
    return {field: source[field] for field in fields if source.get(field) is not None}


def tables(cloud):
    world = {}
    for name in cloud.pages("dynamodb", "list_tables", "TableNames"):
        table = cloud.get("dynamodb", "describe_table", "Table", TableName=name)
        if table is None:
            continue
        ttl = cloud.get("dynamodb", "describe_time_to_live", "TimeToLiveDescription", TableName=name) or {}
        world[name] = {
            **pick(table, "KeySchema", "AttributeDefinitions", "TableStatus", "TableArn"),
            "billing": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
            "protected": table.get("DeletionProtectionEnabled", False),
            "ttl": ttl.get("AttributeName") if ttl.get("TimeToLiveStatus", "").startswith("ENABL") else None,
            "tags": tags(cloud.pages("dynamodb", "list_tags_of_resource", "Tags", ResourceArn=table["TableArn"])),
        }
    return world


def topics(cloud):
    world = {}
    for topic in cloud.pages("sns", "list_topics", "Topics"):
        arn = topic["TopicArn"]
        attributes = cloud.get("sns", "get_topic_attributes", "Attributes", TopicArn=arn) or {}
        subscriptions = []
        for item in cloud.pages("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=arn):
            details = (
                cloud.get(
                    "sns",
                    "get_subscription_attributes",
                    "Attributes",
                    SubscriptionArn=item["SubscriptionArn"],
                )
                or {}
            )
            subscriptions.append(
                {
                    **pick(item, "Protocol", "Endpoint"),
                    **pick(details, "FilterPolicy", "RawMessageDelivery", "RedrivePolicy"),
                }
            )
        world[arn] = {
            **pick(attributes, "DisplayName", "FifoTopic", "KmsMasterKeyId"),
            "subscriptions": sorted(subscriptions, key=lambda item: json.dumps(item, sort_keys=True)),
            "tags": tags(cloud.get("sns", "list_tags_for_resource", "Tags", ResourceArn=arn)),
        }
    return world


def roles(cloud):
    world = {}
    for item in cloud.pages("iam", "list_roles", "Roles"):
        name = item["RoleName"]
        role = cloud.get("iam", "get_role", "Role", RoleName=name)
        if role is None:
            continue
        policies = {
            policy: document(
                cloud.get("iam", "get_role_policy", "PolicyDocument", RoleName=name, PolicyName=policy)
            )
            for policy in cloud.pages("iam", "list_role_policies", "PolicyNames", RoleName=name)
        }
        attached = cloud.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
        world[name] = {
            **pick(role, "Path", "Arn"),
            "trust": document(role["AssumeRolePolicyDocument"]),
            "policies": policies,
            "attached": sorted(policy["PolicyArn"] for policy in attached),
            "tags": tags(role.get("Tags")),
        }
    return world


def functions(cloud):
    world = {}
    for item in cloud.pages("lambda", "list_functions", "Functions"):
        name = item["FunctionName"]
        function = cloud.get("lambda", "get_function", None, FunctionName=name)
        if function is None:
            continue
        configuration = function["Configuration"]
        policy = document(cloud.get("lambda", "get_policy", "Policy", FunctionName=name))
        world[name] = {
            **pick(
                configuration, "Runtime", "Role", "Handler", "Timeout", "MemorySize", "CodeSha256", "Architectures"
            ),
            **pick(configuration, "State", "FunctionArn", "LoggingConfig"),
            "environment": configuration.get("Environment", {}).get("Variables", {}),
            "policy": policy["Statement"] if policy else [],
            "tags": function.get("Tags", {}),
        }
    return world


def log_groups(cloud):
    world = {}
    for group in cloud.pages("logs", "describe_log_groups", "logGroups"):
        arn = group["arn"].removesuffix(":*")
        world[group["logGroupName"]] = {
            "retention": group.get("retentionInDays"),
            "tags": cloud.get("logs", "list_tags_for_resource", "tags", resourceArn=arn),
        }
    return world


def apis(cloud):
    world = []
    for api in cloud.pages("apigatewayv2", "get_apis", "Items"):
        parts = {"ApiId": api["ApiId"]}
        integrations = {
            integration["IntegrationId"]: pick(
                integration, "IntegrationType", "IntegrationUri", "PayloadFormatVersion", "TimeoutInMillis"
            )
            for integration in cloud.pages("apigatewayv2", "get_integrations", "Items", **parts)
        }
        routes = {
            route["RouteKey"]: {
                "target": integrations.get((route.get("Target") or "").removeprefix("integrations/")),
                "authorization": route.get("AuthorizationType") or "NONE",
            }
            for route in cloud.pages("apigatewayv2", "get_routes", "Items", **parts)
        }
        stages = {
            stage["StageName"]: {
                **pick(stage, "AutoDeploy", "DefaultRouteSettings", "RouteSettings", "AccessLogSettings"),
                "tags": stage.get("Tags") or {},
            }
            for stage in cloud.pages("apigatewayv2", "get_stages", "Items", **parts)
        }
        world.append(
            {
                "id": api["ApiId"],
                **pick(api, "Name", "ProtocolType"),
                "integrations": sorted(integrations.values(), key=lambda item: json.dumps(item, sort_keys=True)),
                "routes": routes,
                "stages": stages,
                "tags": api.get("Tags") or {},
            }
        )
    return sorted(world, key=lambda api: (api.get("Name", ""), json.dumps(api["tags"], sort_keys=True)))


def read_world(cloud):
    world = {
        "tables": tables(cloud),
        "topics": topics(cloud),
        "roles": roles(cloud),
        "functions": functions(cloud),
        "log_groups": log_groups(cloud),
        "apis": apis(cloud),
    }
    # Ids that the cloud chose say nothing: an API is known by its place in the list.
    text = json.dumps(world, default=encode)
    for index, api in enumerate(world["apis"]):
        text = re.sub(rf"\b{re.escape(api['id'])}\b", f"API{index}", text)
    return json.loads(text)


def encode(value):
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return {"base64": base64.b64encode(value).decode()}
    if hasattr(value, "read"):
        return value.read().decode("utf-8", "replace")
    return str(value)


def decode(value):
    if isinstance(value, dict):
        if value.keys() == {"base64"}:
            return base64.b64decode(value["base64"])
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def answer(request):
    cloud = Cloud(request)
    if request.get("world"):
        return read_world(cloud)
    service, method, parameters = request["call"]
    result = getattr(cloud.client(service), method)(**decode(parameters))
    result.pop("ResponseMetadata", None)
    return result


for line in sys.stdin:
    try:
        result = {"ok": answer(json.loads(line))}
    except botocore.exceptions.ClientError as error:
        result = {"error": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}
    except Exception as error:
        result = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(result, default=encode), flush=True)
