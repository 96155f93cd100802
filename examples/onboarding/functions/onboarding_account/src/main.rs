//! Starts the function in Lambda.

use common::aws::Aws;
use lambda_runtime::{Error, run, service_fn};
use onboarding_account::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut aws = Aws::from_env()?;
    let function = Function::from_env(&mut aws)?;
    aws.connect().await;
    run(service_fn(|event| function.handle(event))).await
}
