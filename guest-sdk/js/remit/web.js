// What the engine has of the web and no agent has: without a network its own `fetch` ends the process instead of rejecting.

const REASON = "an agent has no network: ask for a tool that does it, in the manifest's [[wants.tools]]";

globalThis.fetch = async () => {
  throw new TypeError(`fetch is denied: ${REASON}`);
};

for (const name of ["Headers", "Request", "Response"]) {
  globalThis[name] = class {
    constructor() {
      throw new TypeError(`${name} is not there: ${REASON}`);
    }
  };
}
