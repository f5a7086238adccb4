//! From what a manifest asks for to what a process is given.

use crate::node::{GrantChoice, StartError};
use remit_abi::{GrantKind, GrantLimits, GrantSpec, Label, Scope, TagSet, TenantId, limits::Limits};
use remit_kernel::{Kernel, RestartPolicy};
use remit_package::{Manifest, Priority, Restart, Want};

const NS_PER_MS: u64 = 1_000_000;

/// The chosen ones of a manifest's wants, as grants of a tenant that begin now.
pub(crate) fn granted(
    kernel: &Kernel,
    tenant: TenantId,
    manifest: &Manifest,
    choice: &GrantChoice,
    default_model: &str,
) -> Result<Vec<GrantSpec>, StartError> {
    let wants = &manifest.wants;
    if let GrantChoice::Only(labels) = choice {
        let unknown = labels.iter().find(|label| wants.iter().all(|want| want.label != **label));
        if let Some(label) = unknown {
            return Err(StartError::NoSuchWant { label: label.clone(), wanted: listed(wants) });
        }
    }
    let chosen = |want: &&Want| match choice {
        GrantChoice::All => true,
        GrantChoice::Only(labels) => labels.contains(&want.label),
    };
    wants.iter().filter(chosen).map(|want| spec(kernel, tenant, want, default_model)).collect()
}

/// The kinds of grants that an agent is linked for, ascending: of those that it is given, and of those that it can do without.
pub(crate) fn linked(manifest: &Manifest, granted: impl IntoIterator<Item = GrantKind>) -> Vec<GrantKind> {
    let optional = manifest.wants.iter().filter(|want| want.optional).map(|want| want.kind);
    let mut kinds: Vec<_> = granted.into_iter().chain(optional).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// By their names, as the host has them.
pub(crate) fn names_of(kinds: &[GrantKind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.name()).collect()
}

fn spec(kernel: &Kernel, tenant: TenantId, want: &Want, default_model: &str) -> Result<GrantSpec, StartError> {
    let scope = match &want.scope {
        Some(scope) => scope.clone(),
        None => Scope::parse(GrantKind::Model, &[default_model]).map_err(StartError::Scope)?,
    };
    let mut ceiling = None;
    if let Some(wanted) = &want.limits.ceiling {
        let mut tags = TagSet::EMPTY;
        for tag in &wanted.tags {
            tags = tags.union(kernel.tag(tenant, tag).ok_or(StartError::Tags)?);
        }
        ceiling = Some(Label { integrity: wanted.integrity, tags });
    }
    let limits = GrantLimits {
        uses: want.limits.uses,
        rate: want.limits.rate,
        expires_ns: want.limits.expires.map(|expires| expires.moment_ns(kernel.wall_ns())),
        max_tokens_per_call: want.limits.max_tokens_per_call,
        ceiling,
    };
    Ok(GrantSpec { label: want.label.as_str().into(), kind: want.kind, scope, access: want.access, limits })
}

/// Whether every folder that an agent cannot do without is declared: the first part of each path.
pub(crate) fn check_folders(
    declared: &[Box<str>],
    manifest: &Manifest,
    grants: &[GrantSpec],
) -> Result<(), StartError> {
    let is_optional = |label: &str| manifest.wants.iter().any(|want| want.label == *label && want.optional);
    for grant in grants.iter().filter(|grant| grant.kind == GrantKind::File && !is_optional(&grant.label)) {
        let mut folders = grant.scope.entries().iter().filter_map(|path| path.split('/').next());
        if let Some(folder) = folders.find(|name| *name != "." && declared.iter().all(|known| **known != **name)) {
            return Err(StartError::NoSuchFolder {
                label: grant.label.to_string(),
                folder: folder.to_owned(),
                declared: if declared.is_empty() { "none".to_owned() } else { declared.join(", ") },
            });
        }
    }
    Ok(())
}

/// The limits of a manifest's processes.
pub(crate) fn limits(manifest: &Manifest) -> Limits {
    let most = |want: &Want| want.children_max.map(u64::from);
    let children_max = manifest.wants.iter().filter_map(most).max().unwrap_or(u64::MAX);
    Limits { children_max: manifest.limits.children_max.min(children_max), ..manifest.limits }
}

/// When a manifest's processes are started again.
pub(crate) fn restart(restart: &Restart) -> RestartPolicy {
    RestartPolicy {
        restart: match restart.policy {
            remit_package::RestartPolicy::Never => remit_abi::Restart::Never,
            remit_package::RestartPolicy::OnFailure => remit_abi::Restart::OnFailure,
            remit_package::RestartPolicy::Always => remit_abi::Restart::Always,
        },
        pause_ns_min: restart.backoff_ms.saturating_mul(NS_PER_MS),
        pause_ns_max: restart.backoff_max_ms.saturating_mul(NS_PER_MS),
        restarts_max: restart.storm.restarts,
        storm_ns: restart.storm.within_ms.saturating_mul(NS_PER_MS),
    }
}

/// How urgent a manifest's processes are.
pub(crate) const fn priority(priority: Priority) -> remit_abi::Priority {
    match priority {
        Priority::Background => remit_abi::Priority::Background,
        Priority::Low => remit_abi::Priority::Low,
        Priority::Normal => remit_abi::Priority::Normal,
        Priority::High => remit_abi::Priority::High,
    }
}

fn listed(wants: &[Want]) -> String {
    match wants {
        [] => "none".to_owned(),
        wants => wants.iter().map(|want| want.label.as_str()).collect::<Vec<_>>().join(", "),
    }
}
