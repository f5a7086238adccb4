//! `#[remit::agent]`: makes a function the component's `run`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, FnArg, ItemFn, ReturnType, Type, spanned::Spanned};

/// Makes this function what the component runs.
///
/// It takes the task, and for an agent that commits states also the state to go on from:
///
/// ```text
/// use remit::prelude::*;
///
/// #[remit::agent]
/// fn run(task: Task, resumed: Option<State>) -> Result<Outcome, Failure> { … }
///
/// #[remit::agent]
/// fn run(task: Task) -> Result<Outcome, Failure> { … }
/// ```
///
/// `State` is any type that derives serde's `Serialize` and `Deserialize`. A component has one agent. A panic logs its
/// message and place at level error before it traps.
#[proc_macro_attribute]
pub fn agent(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = TokenStream::from(item);
    expand(&arguments.into(), item.clone())
        .unwrap_or_else(|error| {
            // The function stays, so that this error is the only one.
            let error = error.into_compile_error();
            quote!(#error #item)
        })
        .into()
}

const FORM: &str = "fn run(task: Task, resumed: Option<State>) -> Result<Outcome, Failure>";

fn expand(arguments: &TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[remit::agent]` takes no arguments"));
    }
    let place = item.clone();
    let function: ItemFn = syn::parse2(item)
        .map_err(|_| Error::new_spanned(place, format!("`#[remit::agent]` stands before a function: `{FORM}`")))?;
    check_modifiers(&function)?;
    let returned = match &function.sig.output {
        ReturnType::Type(_, returned) => &**returned,
        ReturnType::Default => {
            let text = format!("an agent returns `Result<Outcome, Failure>`: `{FORM}`");
            return Err(Error::new_spanned(&function.sig, text));
        }
    };
    let parameters = parameters(&function)?;
    let run = &function.sig.ident;
    let (call, mut checks) = match parameters[..] {
        [task] => (quote!(::remit::__private::start(task, #run)), vec![check(task, &quote!(IsTask))]),
        [task, state] => (
            quote!(::remit::__private::resume(task, state, #run)),
            vec![check(task, &quote!(IsTask)), check(state, &quote!(Resumed))],
        ),
        _ => {
            let text = format!("an agent takes a `Task`, and the state to go on from if it has one: `{FORM}`");
            return Err(Error::new_spanned(&function.sig.inputs, text));
        }
    };
    checks.push(check(returned, &quote!(Answer)));
    Ok(quote! {
        #[allow(clippy::needless_pass_by_value, reason = "an agent owns its task")]
        #function

        const _: () = {
            #(#checks)*

            struct Agent;

            impl ::remit::__private::Guest for Agent {
                fn run(
                    task: ::remit::__private::AgentTask,
                    state: ::std::option::Option<::std::vec::Vec<u8>>,
                ) -> ::std::result::Result<::remit::__private::Outcome, ::remit::__private::Failure> {
                    let _ = &state;
                    #call
                }
            }

            #[cfg(target_family = "wasm")]
            ::remit::__private::export!(Agent with_types_in ::remit::__private);

            // Elsewhere nothing is exported, and the agent would count as dead code.
            #[cfg(not(target_family = "wasm"))]
            const _: ::remit::__private::Run = <Agent as ::remit::__private::Guest>::run;
        };
    })
}

/// One check a type, so that the compiler points at the type that is wrong.
fn check(checked: &Type, bound: &TokenStream) -> TokenStream {
    quote_spanned! {checked.span()=>
        const _: () = {
            const fn check<T: ::remit::__private::#bound>() {}
            check::<#checked>()
        };
    }
}

fn check_modifiers(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    let refuse = |place: &dyn quote::ToTokens, what: &str| {
        Err(Error::new_spanned(place.to_token_stream(), format!("an agent's function cannot be {what}: `{FORM}`")))
    };
    if let Some(token) = &signature.asyncness {
        return refuse(token, "async, as every call of the kernel waits by itself");
    }
    if let Some(token) = &signature.unsafety {
        return refuse(token, "unsafe");
    }
    if let Some(token) = &signature.abi {
        return refuse(token, "extern");
    }
    if !signature.generics.params.is_empty() {
        return refuse(&signature.generics, "generic");
    }
    if let Some(token) = &signature.variadic {
        return refuse(token, "variadic");
    }
    Ok(())
}

fn parameters(function: &ItemFn) -> syn::Result<Vec<&Type>> {
    let mut parameters = Vec::new();
    for parameter in &function.sig.inputs {
        match parameter {
            FnArg::Receiver(receiver) => {
                let text = format!("an agent is a free function, without `self`: `{FORM}`");
                return Err(Error::new_spanned(receiver, text));
            }
            FnArg::Typed(typed) => parameters.push(&*typed.ty),
        }
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expect: Result<&str, &str>) {
        let item = source.parse().expect("the test's source is Rust");
        match (expand(&TokenStream::new(), item), expect) {
            (Ok(tokens), Ok(part)) => assert!(tokens.to_string().contains(part), "{tokens}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, _) => panic!("{source}: {got:?}"),
        }
    }

    #[test]
    fn both_forms_become_the_export() {
        check("fn run(task: Task) -> Result<Outcome, Failure> { f() }", Ok("start (task , run)"));
        check("fn go(t: Task, s: Option<S>) -> Result<Outcome, Failure> { f() }", Ok("resume (task , state , go)"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        check("struct Agent;", Err("stands before a function"));
        check("async fn run(task: Task) -> R {}", Err("cannot be async"));
        check("unsafe fn run(task: Task) -> R {}", Err("cannot be unsafe"));
        check("extern \"C\" fn run(task: Task) -> R {}", Err("cannot be extern"));
        check("fn run<T>(task: T) -> R {}", Err("cannot be generic"));
        check("fn run(&self) -> R {}", Err("without `self`"));
        check("fn run() -> R {}", Err("an agent takes a `Task`"));
        check("fn run(a: A, b: B, c: C) -> R {}", Err("an agent takes a `Task`"));
        check("fn run(task: Task) {}", Err("an agent returns"));
    }

    #[test]
    fn arguments_are_refused() {
        let error = expand(
            &quote!(stateless),
            quote!(
                fn run(task: Task) -> R {}
            ),
        )
        .expect_err("an argument");
        assert!(error.to_string().contains("takes no arguments"));
    }
}
