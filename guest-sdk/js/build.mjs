// Makes a JavaScript agent's component, or a new agent.
//
//     node build.mjs new NAME [FOLDER]
//     node build.mjs build [FOLDER]
//
// It wants what `npm install` puts beside it. A component imports every interface of its world, whether the agent uses it or not; so the
// world is made for each agent, and has the interfaces that its manifest asks for.

import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const SDK = fileURLToPath(new URL(".", import.meta.url));
const WIT = join(SDK, "../../wit");
const USAGE = "usage: node build.mjs new NAME [FOLDER]\n       node build.mjs build [FOLDER]";

/** Which interfaces a section of a manifest's `[wants]` opens. All others are every agent's. */
const INTERFACES = {
  models: ["llm", "context"],
  tools: ["tool"],
  memory: ["memory"],
  files: ["files"],
  processes: ["children"],
  people: ["human"],
};

/** The world without the interfaces that the manifest does not ask for. */
function narrow(world, sections) {
  const unwanted = Object.entries(INTERFACES).filter(([section]) => !sections.has(section));
  const lines = new Set(unwanted.flatMap(([, interfaces]) => interfaces.map((name) => `  import ${name};`)));
  return world.split("\n").filter((line) => !lines.has(line)).join("\n");
}

/** The agent's modules and what they import as one, with all that the kernel gives left to be imported. */
async function bundle(folder) {
  const { rolldown } = await import("rolldown");
  const alias = { remit: join(SDK, "remit/index.js") };
  for (const name of ["model", "tool", "memory"]) alias[`remit/${name}`] = join(SDK, `remit/${name}.js`);
  const external = [/^remit:/, /^wasi:/];
  const made = await rolldown({ input: join(folder, "agent.js"), resolve: { alias }, external, platform: "neutral" });
  const { output } = await made.generate({ format: "esm", codeSplitting: false });
  return output[0].code;
}

/** Writes the component that the folder's manifest names. */
async function build(folder) {
  const [{ parse }, { componentize }] = await Promise.all([
    import("smol-toml"),
    import("@bytecodealliance/componentize-js"),
  ]);
  const manifest = parse(await readFile(join(folder, "remit.toml"), "utf8"));
  const place = await mkdtemp(join(tmpdir(), "remit-js-"));
  try {
    const [witPath, sourcePath] = [join(place, "wit"), join(place, "agent.js")];
    await cp(WIT, witPath, { recursive: true });
    const world = join(witPath, "world.wit");
    await writeFile(world, narrow(await readFile(world, "utf8"), new Set(Object.keys(manifest.wants ?? {}))));
    await writeFile(sourcePath, await bundle(folder));
    // Without these there is no import of wasi:http, which no agent gets.
    const disableFeatures = ["http", "fetch-event"];
    const { component } = await componentize({ sourcePath, witPath, worldName: "agent", disableFeatures });
    const file = join(folder, manifest.component);
    await writeFile(file, component);
    console.log(`${file} has ${component.length} bytes`);
  } finally {
    await rm(place, { recursive: true });
  }
}

/** A copy of the template. */
async function create(name, folder) {
  if (!/^[a-z][a-z0-9_-]{0,63}$/.test(name)) {
    throw new Error(`"${name}" can be no agent's name: take lower-case letters, digits, dashes and underscores, the first a letter`);
  }
  const there = await readdir(folder).catch(() => []);
  if (there.length > 0) throw new Error(`${folder} is there already, and is not empty: name another folder`);
  await cp(join(SDK, "template"), folder, { recursive: true });
  for (const entry of await readdir(folder, { recursive: true })) {
    const file = join(folder, entry);
    if (!(await stat(file)).isFile()) continue;
    await writeFile(file, (await readFile(file, "utf8")).replaceAll("{{name}}", name));
  }
  console.log(`${folder} is made: see its README.md`);
}

const [command, ...rest] = process.argv.slice(2);
try {
  if (command === "build" && rest.length <= 1) await build(resolve(rest[0] ?? "."));
  else if (command === "new" && (rest.length === 1 || rest.length === 2)) await create(rest[0], resolve(rest[1] ?? rest[0]));
  else throw new Error(USAGE);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
