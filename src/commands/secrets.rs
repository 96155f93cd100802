//! The secrets that functions get from the operator's environment.

use anyhow::Result;

use crate::failure::Failure;
use crate::manifest::{Manifest, Value};

/// Refuses what no function should be given: a secret that differs from what was meant by white
/// space fails only when it is used.
///
/// # Errors
/// A refusal that names the variable and never its value.
pub fn check(manifest: &Manifest) -> Result<()> {
    for (id, function) in &manifest.functions {
        for value in function.environment.values() {
            let Value::Secret(variable) = value else { continue };
            if let Some(secret) = read(variable)? {
                // A private key has several lines.
                let is_one_word = function.caller.as_ref().is_some_and(|it| it.names(variable));
                let bad = |c: char| c.is_control() && (is_one_word || !"\n\r\t".contains(c));
                if secret.contains(bad) || is_one_word && secret.contains(char::is_whitespace) {
                    let what = format!(
                        "{variable}, a secret of the function `{id}`, has a control character or \
                         white space in it"
                    );
                    return Err(Failure::refused(what).hint(again(variable)).into());
                }
            }
        }
    }
    Ok(())
}

/// The operator's variable. What is set to nothing is nothing, but not unset.
///
/// # Errors
/// As [`check`], for white space at either end and for what is not UTF-8.
pub fn read(variable: &str) -> Result<Option<String>> {
    let Some(secret) = std::env::var_os(variable) else { return Ok(None) };
    let Ok(secret) = secret.into_string() else {
        let what = format!("{variable} is to be a secret of a function, but is not UTF-8");
        return Err(Failure::refused(what).hint(again(variable)).into());
    };
    if secret.trim() != secret {
        let what = format!(
            "{variable} is to be a secret of a function, but begins or ends with white space or a \
             line break"
        );
        return Err(Failure::refused(what).hint(again(variable)).into());
    }
    Ok(Some(secret))
}

fn again(variable: &str) -> String {
    format!(
        "set {variable} anew, to the secret and nothing else; or unset it to keep what is there"
    )
}
