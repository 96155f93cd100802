//! Starts the function in Lambda.

use lambda_runtime::{Error, run, service_fn};
use onboarding_signup::Function;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Function::from_env().await?;
    run(service_fn(|event| function.handle(event))).await
}
