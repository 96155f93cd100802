//! Whole events in, accounts in a real `DynamoDB` engine out.

use common::testing::{Table, context, sns_event};
use lambda_runtime::LambdaEvent;
use onboarding_account::{Function, System};

#[tokio::test]
async fn every_system_creates_its_account_once() {
    let table = Table::new("user").await;
    for name in ["mail", "chat", "code", "chat", "mail"] {
        let function = Function {
            users: table.client.clone().into(),
            table: table.name.into(),
            system: System::named(name).expect("a system"),
        };
        let event = LambdaEvent::new(sns_event(&[("1", "ada-l")]), context());
        function.handle(event).await.expect("created");
    }
    for (attribute, account) in [
        ("mail", "ada-l@example.com"),
        ("chat", "@ada_l"),
        ("code", "https://code.example.com/~ada-l"),
    ] {
        assert_eq!(table.get("ada-l", attribute).await.as_deref(), Some(account));
    }
    assert_eq!(System::named("Mail"), None);
}
