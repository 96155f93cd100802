//! Creates a new user's account in one system. The same package is deployed once for each system.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use common::{
    Error,
    aws::{Aws, Lazy, variable},
    lambda::in_time,
    log, reason,
    sns::messages,
};
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// Where the account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Mail,
    Chat,
    Code,
}

impl System {
    /// By its name, as the variable `SYSTEM` has it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "mail" => Some(Self::Mail),
            "chat" => Some(Self::Chat),
            "code" => Some(Self::Code),
            _ => None,
        }
    }

    /// The attribute of the user's item that holds the account.
    pub fn attribute(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Chat => "chat",
            Self::Code => "code",
        }
    }

    /// What the account is called there.
    pub fn account(self, user: &str) -> String {
        match self {
            Self::Mail => format!("{user}@example.com"),
            Self::Chat => format!("@{}", user.replace('-', "_")),
            Self::Code => format!("https://code.example.com/~{user}"),
        }
    }
}

/// The function and what it works with.
pub struct Function {
    pub users: Lazy<Client>,
    pub table: String,
    pub system: System,
}

impl Function {
    /// From `USERS_TABLE` and `SYSTEM`.
    pub fn from_env(aws: &mut Aws) -> Result<Self, Error> {
        let system = variable("SYSTEM").unwrap_or_default();
        Ok(Self {
            users: aws.client("dynamodb", Client::new),
            table: variable("USERS_TABLE").ok_or("USERS_TABLE is not set")?,
            system: System::named(&system).ok_or("SYSTEM is none of mail, chat, code")?,
        })
    }

    /// An error makes Lambda deliver the event again.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<(), Error> {
        in_time(&event.context, async {
            for message in messages(event.payload)? {
                self.create(&message.message).await?;
            }
            Ok(())
        })
        .await
    }

    /// Delivered twice, it leaves the account as it is: no marker is needed where setting is all there is to do.
    async fn create(&self, user: &str) -> Result<(), Error> {
        let account = self.system.account(user);
        let call = self
            .users
            .update_item()
            .table_name(&self.table)
            .key("user", AttributeValue::S(user.to_owned()))
            .update_expression("SET #a = if_not_exists(#a, :account)")
            .expression_attribute_names("#a", self.system.attribute())
            .expression_attribute_values(":account", AttributeValue::S(account.clone()));
        Box::pin(call.send())
            .await
            .map_err(|error| format!("could not create: {}", reason(&error)))?;
        log::line(&json!({"level": "info", "user": user, "account": account}));
        Ok(())
    }
}
