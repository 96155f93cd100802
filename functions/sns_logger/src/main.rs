//! Starts the function in Lambda.

use lambda_runtime::{Error, run, service_fn};
use sns_logger::handle;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}
