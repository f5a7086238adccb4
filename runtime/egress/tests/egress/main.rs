//! The one way out, against servers and resolvers that do what they like.

mod addresses;
mod bodies;
mod grants;
mod proxies;
mod redirects;
mod secrets;
mod server;
mod slow;
mod tls;
mod world;
