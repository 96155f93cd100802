//! Takes a new user, and shows which accounts the user has.

use std::collections::{BTreeMap, HashMap};

use aws_lambda_events::{apigw::ApiGatewayV2httpResponse, http::Method};
use aws_sdk_dynamodb::{Client, operation::put_item::PutItemError, types::AttributeValue};
use common::{
    Error,
    aws::{Aws, Lazy, variable},
    http::{Answer, Request},
    lambda::in_time,
    log, reason,
    sns::Topic,
};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// The function and what it works with.
pub struct Function {
    pub users: Lazy<Client>,
    pub table: String,
    pub joined: Topic,
}

impl Function {
    /// From `USERS_TABLE` and `JOINED_TOPIC_ARN`.
    pub fn from_env(aws: &mut Aws) -> Result<Self, Error> {
        let topic = variable("JOINED_TOPIC_ARN").ok_or("JOINED_TOPIC_ARN is not set")?;
        Ok(Self {
            users: aws.client("dynamodb", Client::new),
            table: variable("USERS_TABLE").ok_or("USERS_TABLE is not set")?,
            joined: Topic::new(aws.client("sns", aws_sdk_sns::Client::new), topic),
        })
    }

    /// Always answers; what went wrong is in the status.
    pub async fn handle(
        &self,
        event: LambdaEvent<Value>,
    ) -> Result<ApiGatewayV2httpResponse, Error> {
        let request_id = &event.context.request_id;
        let answer = in_time(&event.context, self.answer(event.payload, request_id)).await;
        let answer = answer.unwrap_or_else(|error| {
            log::line(&json!({"level": "error", "error": error.to_string()}));
            Answer::refuse(503, "This did not work out; send it again.")
        });
        Ok(answer.into())
    }

    async fn answer(&self, event: Value, request_id: &str) -> Result<Answer, Error> {
        let request = match Request::receive(event, &[Method::GET, Method::POST]) {
            Ok(request) => request,
            Err(answer) => return Ok(answer),
        };
        if request.method == Method::POST {
            return self.join(&request, request_id).await;
        }
        let Some(user) = request.query("user") else {
            return Ok(Answer::refuse(400, "Ask for one user: ?user=NAME"));
        };
        Ok(match self.get(user).await? {
            Some(user) => Answer::new(200, json!(user)),
            None => Answer::refuse(404, "No such user."),
        })
    }

    /// Stores the user before anybody is told. Sent again after an error, it stores nothing twice and tells again.
    async fn join(&self, request: &Request, request_id: &str) -> Result<Answer, Error> {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Some(user) = body["user"].as_str().filter(|user| is_name(user)) else {
            let reason = r#"Send {"user": NAME}; a name is 1 to 32 of a-z, 0-9, "-"."#;
            return Ok(Answer::refuse(400, reason));
        };
        let call = self
            .users
            .put_item()
            .table_name(&self.table)
            .item("user", AttributeValue::S(user.to_owned()))
            .condition_expression("attribute_not_exists(#u)")
            .expression_attribute_names("#u", "user");
        if let Err(error) = Box::pin(call.send()).await
            && !error
                .as_service_error()
                .is_some_and(PutItemError::is_conditional_check_failed_exception)
        {
            return Err(format!("could not store: {}", reason(&error)).into());
        }
        self.joined.publish(user, request_id).await?;
        Ok(Answer::new(202, json!({ "user": user })))
    }

    async fn get(&self, user: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        // No key is empty.
        if user.is_empty() {
            return Ok(None);
        }
        let call = self
            .users
            .get_item()
            .table_name(&self.table)
            .key("user", AttributeValue::S(user.to_owned()))
            .consistent_read(true);
        let read = Box::pin(call.send())
            .await
            .map_err(|error| format!("could not read: {}", reason(&error)))?;
        Ok(read.item.map(texts))
    }
}

fn texts(item: HashMap<String, AttributeValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        AttributeValue::S(text) => Some(text),
        _ => None,
    };
    item.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

fn is_name(user: &str) -> bool {
    (1..=32).contains(&user.len())
        && user.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}
