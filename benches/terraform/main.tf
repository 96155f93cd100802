# The article's application, as `advent.toml` at the root of this repository declares it, for
# `cargo xtask bench` to measure Terraform with.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region            = "us-east-1"
  s3_use_path_style = true # what the emulator's address needs
}

variable "zips" {
  description = "Folder with a zip for each function"
  type        = string
}

variable "through_s3" {
  description = "Whether code goes through a bucket, as who tunes it writes it: uploads within CreateFunction happen one at a time"
  type        = bool
  default     = false
}

locals {
  functions = {
    aws_advent     = { role = "aws_advent_lambda_dynamo", memory = 256, timeout = 10, environment = { DYNAMO_TABLE = aws_dynamodb_table.words.name, SNS_TOPIC_ARN = aws_sns_topic.awsadvent.arn } }
    sns_multiplier = { role = "sns_multiplier", memory = 256, timeout = 30, environment = { DYNAMO_TABLE = aws_dynamodb_table.words.name } }
    sns_logger     = { role = "sns_logger", memory = 128, timeout = 3, environment = {} }
  }
  subscribers = toset(["sns_multiplier", "sns_logger"])
}

resource "aws_dynamodb_table" "words" {
  name         = "table"
  hash_key     = "word"
  billing_mode = "PAY_PER_REQUEST"

  attribute {
    name = "word"
    type = "S"
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }
}

resource "aws_sns_topic" "awsadvent" {
  name = "awsadvent"
}

data "aws_iam_policy_document" "lambda" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  for_each           = local.functions
  name               = each.value.role
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_cloudwatch_log_group" "function" {
  for_each          = local.functions
  name              = "/aws/lambda/${each.key}"
  retention_in_days = 14
}

data "aws_iam_policy_document" "logs" {
  for_each = local.functions
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
  }
}

resource "aws_iam_role_policy" "logs" {
  for_each = local.functions
  name     = "logs"
  role     = aws_iam_role.function[each.key].id
  policy   = data.aws_iam_policy_document.logs[each.key].json
}

data "aws_iam_policy_document" "count" {
  statement {
    actions   = ["dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:BatchGetItem"]
    resources = [aws_dynamodb_table.words.arn]
  }
}

resource "aws_iam_role_policy" "count" {
  for_each = toset(["aws_advent", "sns_multiplier"])
  name     = "dynamodb"
  role     = aws_iam_role.function[each.key].id
  policy   = data.aws_iam_policy_document.count.json
}

data "aws_iam_policy_document" "publish" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.awsadvent.arn]
  }
}

resource "aws_iam_role_policy" "publish" {
  name   = "snspublish"
  role   = aws_iam_role.function["aws_advent"].id
  policy = data.aws_iam_policy_document.publish.json
}

resource "aws_s3_bucket" "code" {
  count         = var.through_s3 ? 1 : 0
  bucket        = "awsadvent-code"
  force_destroy = true
}

resource "aws_s3_object" "code" {
  for_each    = var.through_s3 ? local.functions : {}
  bucket      = aws_s3_bucket.code[0].id
  key         = "${each.key}.zip"
  source      = "${var.zips}/${each.key}.zip"
  source_hash = filebase64sha256("${var.zips}/${each.key}.zip")
}

resource "aws_lambda_function" "function" {
  for_each         = local.functions
  function_name    = each.key
  role             = aws_iam_role.function[each.key].arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  filename         = var.through_s3 ? null : "${var.zips}/${each.key}.zip"
  s3_bucket        = var.through_s3 ? aws_s3_object.code[each.key].bucket : null
  s3_key           = var.through_s3 ? aws_s3_object.code[each.key].key : null
  source_code_hash = filebase64sha256("${var.zips}/${each.key}.zip")
  memory_size      = each.value.memory
  timeout          = each.value.timeout

  environment {
    variables = each.value.environment
  }

  # What the function may do and where it logs to, before it can run.
  depends_on = [aws_iam_role_policy.logs, aws_iam_role_policy.count, aws_iam_role_policy.publish]
}

resource "aws_lambda_permission" "topic" {
  for_each      = local.subscribers
  statement_id  = "sns"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function[each.key].function_name
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.awsadvent.arn
}

resource "aws_sns_topic_subscription" "function" {
  for_each   = local.subscribers
  topic_arn  = aws_sns_topic.awsadvent.arn
  protocol   = "lambda"
  endpoint   = aws_lambda_function.function[each.key].arn
  depends_on = [aws_lambda_permission.topic]
}

resource "aws_apigatewayv2_api" "api" {
  name          = "aws_advent"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "aws_advent" {
  api_id                 = aws_apigatewayv2_api.api.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.function["aws_advent"].invoke_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "aws_advent" {
  api_id    = aws_apigatewayv2_api.api.id
  route_key = "ANY /aws_advent"
  target    = "integrations/${aws_apigatewayv2_integration.aws_advent.id}"
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.api.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = 10
    throttling_burst_limit = 20
  }
}

resource "aws_lambda_permission" "api" {
  statement_id  = "api"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function["aws_advent"].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.api.execution_arn}/*/*/aws_advent"
}

output "url" {
  value = "${aws_apigatewayv2_api.api.api_endpoint}/aws_advent"
}
