//! User and password of a BMC: from the environment, or from a file that nobody else can read. They are never printed.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use board::Credentials;
use serde::Deserialize;

use crate::exit::usage;

/// A user and the password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub user: String,
    pub password: String,
}

/// No log holds the password, whoever prints this.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login of {}", self.user)
    }
}

/// Reads them.
///
/// # Errors
/// One line: the variable that is not set, or what is wrong with the file; never its text.
pub fn read(credentials: &Credentials) -> anyhow::Result<Login> {
    match credentials {
        Credentials::Environment { user, password } => {
            let of = |name: &String| {
                std::env::var(name)
                    .map_err(|_| usage(format!("the BMC's login: set {user} and {password} in the environment")))
            };
            Ok(Login { user: of(user)?, password: of(password)? })
        }
        Credentials::File(path) => {
            let wrong = |what: &str| usage(format!("the BMC's login: {}: {what}", path.display()));
            let file = std::fs::metadata(path).map_err(|error| wrong(&error.to_string()))?;
            if file.mode() & 0o077 != 0 {
                return Err(wrong("others can read it; `chmod 600` it"));
            }
            let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
            toml::from_str(&text).map_err(|_| wrong("two lines are wanted, `user = \"…\"` and `password = \"…\"`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::one_line;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_read_where_nobody_else_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login");
        std::fs::write(&path, "user = \"root\"\npassword = \"secret\"\n").unwrap();
        let credentials = Credentials::File(path.clone());
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(one_line(&read(&credentials).unwrap_err()).contains("`chmod 600` it"));
        mode(0o600);
        let login = read(&credentials).unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("root", "secret"));
        assert!(!format!("{login:?}").contains("secret"));
        std::fs::write(&path, "user = \"root\"\npassword = secret\n").unwrap();
        let line = one_line(&read(&credentials).unwrap_err());
        assert!(line.contains("two lines are wanted") && !line.contains("secret"), "{line}");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let credentials = Credentials::Environment { user: "NO_SUCH_USER".into(), password: "NO_SUCH_WORD".into() };
        assert!(one_line(&read(&credentials).unwrap_err()).contains("set NO_SUCH_USER and NO_SUCH_WORD"));
    }
}
