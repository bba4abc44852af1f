//! `samvad routes`: the published routes that are served, compared with the published list.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::api::route::Route;
use crate::api::table;

/// Arguments of `samvad routes`.
#[derive(Debug, clap::Args)]
pub struct RoutesArgs {
    /// A list of routes (CSV: product,method,path,auth,roles,success_status,notes) to compare with
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
}

/// A line of the published list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishedRoute {
    /// Surface.
    pub product: String,
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Credentials.
    pub auth: String,
    /// Roles.
    pub roles: String,
    /// Status of a success.
    pub status: String,
}

/// What came of comparing.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Served as published.
    pub served: Vec<PublishedRoute>,
    /// Not served.
    pub missing: Vec<PublishedRoute>,
    /// Served otherwise, and how.
    pub different: Vec<(PublishedRoute, String)>,
    /// Served although not published, and not marked as ours.
    pub strange: Vec<&'static Route>,
}

/// Prints the table, or the comparison with a list. The exit code is 1 when something is served
/// otherwise than published; what is missing is only told.
///
/// # Errors
/// When the list cannot be read.
#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
pub fn run(args: &RoutesArgs) -> anyhow::Result<ExitCode> {
    let Some(path) = &args.check else {
        for route in table::routes() {
            println!(
                "{} {} {} {} {:?} {}",
                route.product.name(),
                route.method,
                route.path,
                route.auth.name(),
                route.roles,
                route.status
            );
        }
        return Ok(ExitCode::SUCCESS);
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let comparison = compare(&parse(&text)?);
    for route in &comparison.served {
        println!(
            "served   {:<6} {:<6} {}",
            route.product, route.method, route.path
        );
    }
    for route in &comparison.missing {
        println!(
            "missing  {:<6} {:<6} {}",
            route.product, route.method, route.path
        );
    }
    for (route, how) in &comparison.different {
        println!(
            "DIFFERS  {:<6} {:<6} {}: {how}",
            route.product, route.method, route.path
        );
    }
    for route in &comparison.strange {
        println!(
            "STRANGE  {:<6} {:<6} {}",
            route.product.name(),
            route.method,
            route.path
        );
    }
    println!(
        "{} served, {} missing, {} different, {} not in the list",
        comparison.served.len(),
        comparison.missing.len(),
        comparison.different.len(),
        comparison.strange.len()
    );
    let fine = comparison.different.is_empty() && comparison.strange.is_empty();
    Ok(if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Reads the published list.
///
/// # Errors
/// When a line has too few columns.
pub fn parse(text: &str) -> anyhow::Result<Vec<PublishedRoute>> {
    text.lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            // Only the notes, which come last and are not looked at, hold commas.
            let columns: Vec<&str> = line.splitn(7, ',').collect();
            let [product, method, path, auth, roles, status, ..] = columns[..] else {
                anyhow::bail!("not a route: {line}");
            };
            Ok(PublishedRoute {
                product: product.to_owned(),
                method: method.to_owned(),
                path: path.to_owned(),
                auth: auth.to_owned(),
                roles: roles.to_owned(),
                status: status.to_owned(),
            })
        })
        .collect()
}

/// Compares the published list with what is served.
#[must_use]
pub fn compare(published: &[PublishedRoute]) -> Comparison {
    let mut comparison = Comparison::default();
    let same =
        |own: &Route, route: &PublishedRoute| own.method == route.method && own.path == route.path;
    for route in published {
        let Some(own) = table::routes().iter().find(|own| same(own, route)) else {
            comparison.missing.push(route.clone());
            continue;
        };
        let status = own.status.to_string();
        let differences: Vec<String> = [
            ("product", own.product.name(), route.product.as_str()),
            ("auth", own.auth.name(), route.auth.as_str()),
            ("roles", own.roles, route.roles.as_str()),
            ("status", status.as_str(), route.status.as_str()),
        ]
        .into_iter()
        .filter(|(_, own, published)| own != published)
        .map(|(what, own, published)| format!("{what} is {own:?}, published is {published:?}"))
        .collect();
        if differences.is_empty() {
            comparison.served.push(route.clone());
        } else {
            comparison
                .different
                .push((route.clone(), differences.join("; ")));
        }
    }
    let known = |own: &&Route| own.added || published.iter().any(|route| same(own, route));
    comparison.strange = table::routes().iter().filter(|own| !known(own)).collect();
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_served_as_published() {
        let published = parse(include_str!("../../../fixtures/rest-routes.csv")).unwrap();
        assert_eq!(published.len(), 177);
        let comparison = compare(&published);
        assert!(
            comparison.different.is_empty(),
            "{:?}",
            comparison.different
        );
        assert!(comparison.strange.is_empty(), "{:?}", comparison.strange);
        assert!(comparison.served.len() > 60, "{}", comparison.served.len());
    }
}
