//! Requests about deployments. A package may have to be compiled, so that an answer takes as long as that.

use super::{Client, ClientError};
use crate::protocol::{
    DeployRequest, Deployed, DeployedRun, DeployedRunRequest, Deployments, UpgradeRequest, Upgraded,
};
use hyper::Method;

impl Client {
    /// Applies a deployment file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deploy(&self, request: &DeployRequest) -> Result<Deployed, ClientError> {
        self.reply(Method::POST, "deployments", request).await
    }

    /// Every deployment.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deployments(&self) -> Result<Deployments, ClientError> {
        self.ask(Method::GET, "deployments", &()).await
    }

    /// Runs a deployment no more.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_deployment(&self, name: &str) -> Result<(), ClientError> {
        self.reply(Method::DELETE, &format!("deployments/{name}"), &()).await
    }

    /// Goes to another version.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upgrade(&self, name: &str, request: &UpgradeRequest) -> Result<Upgraded, ClientError> {
        self.reply(Method::POST, &format!("deployments/{name}/upgrade"), request).await
    }

    /// Goes to the version that is tried.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn promote(&self, name: &str) -> Result<Upgraded, ClientError> {
        self.reply(Method::POST, &format!("deployments/{name}/promote"), &()).await
    }

    /// Tries no version any more, or goes back to the one before.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rollback(&self, name: &str) -> Result<Upgraded, ClientError> {
        self.reply(Method::POST, &format!("deployments/{name}/rollback"), &()).await
    }

    /// Begins a run.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn run_deployed(&self, name: &str, request: &DeployedRunRequest) -> Result<DeployedRun, ClientError> {
        self.reply(Method::POST, &format!("deployments/{name}/runs"), request).await
    }
}
