// The script of a watch's page in Node.js, on a document that only remembers what it was told.
//
//     node page_in_node.js PAGE ADDRESS KEY...
//
// Prints a line of JSON for the page as it begins and one after each key: the texts of its parts.
// PAGE is a file; ADDRESS is where it is served, with the token, or "" for one with a run inside.
// The key `wait` lets two seconds pass; `inject` and `heal` press these buttons, when the page has its
// control, and wait until that is done.
"use strict";
const fs = require("node:fs");
const [, , file, address, ...keys] = process.argv;
const html = fs.readFileSync(file, "utf8");
const script = html.match(/<script>([\s\S]*?)<\/script>/)[1];
const run = html.match(/<script type="application\/json" id="run">([\s\S]*?)<\/script>/);
const PARTS = ["lab", "health", "strips", "facts", "nodes", "picture", "tape", "playing", "notice", "said"];

class Element {
  constructor(name) {
    Object.assign(this, {name, tagName: name.toUpperCase(), namespaceURI: "svg", children: [], attributes: {}, listeners: {}});
    this.classes = new Set();
    this.classList = {contains: each => this.classes.has(each), toggle: (each, on) => on ? this.classes.add(each) : this.classes.delete(each)};
  }
  setAttribute(key, value) { this.attributes[key] = checked(value); }
  append(...children) { this.children.push(...children.map(child => child instanceof Element ? child : checked(child))); }
  replaceChildren(...children) { this.children = []; this.append(...children); }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  get value() { return this.chosen ?? this.children[0]?.attributes.value ?? ""; }
  set value(value) { this.chosen = value; }
  set textContent(text) { this.children = [checked(text)]; }
  get textContent() { return this.children.map(child => child instanceof Element ? child.textContent : child).join(" "); }
}
function checked(value) {
  if (/undefined|NaN|\[object/.test(String(value))) throw new Error(`the page shows ${value}`);
  return String(value);
}

const elements = {};
const known = new Set([...html.matchAll(/ id="([\w-]+)"/g)].map(found => found[1]));
function getElementById(id) {
  if (!known.has(id)) return null;
  elements[id] ??= new Element(id);
  if (id === "run" && run) elements.run.textContent = run[1];
  return elements[id];
}
const document = {
  getElementById, documentElement: new Element("html"),
  createElement: name => new Element(name), createElementNS: (_, name) => new Element(name),
  addEventListener(name, listener) { this[name] = listener; },
};
const [base, hash] = address.split("#");
const url = new URL(base || "file:///run.html");
const location = {hash: hash ? `#${hash}` : "", search: url.search, pathname: url.pathname};
const history = {replaceState(_, __, path) { location.hash = new URL(path, url).hash; }};
const store = {};
const sessionStorage = {getItem: key => store[key] ?? null, setItem(key, value) { store[key] = value; }};
let now = 0;
const ticks = [];
const globals = {
  document, location, history, sessionStorage, addEventListener() {},
  matchMedia: () => ({matches: false, addEventListener() {}}),
  setInterval: tick => ticks.push(tick),
  performance: {now: () => now},
  fetch: (path, options) => fetch(new URL(path, url), options),
};
new Function(...Object.keys(globals), script)(...Object.values(globals));

const shown = () => Object.fromEntries(PARTS.map(id => [id, getElementById(id).textContent]));
const print = () => console.log(JSON.stringify({...shown(), hash: location.hash, big: document.documentElement.classes.has("big")}));
const begun = () => shown().notice || (!address && shown().strips);
async function until(ready) {
  for (let tries = 0; !ready(); tries++) {
    if (tries === 6000) throw new Error(`not within a minute: ${ready}; the page shows ${JSON.stringify(shown())}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}
async function press(button) {
  await until(() => getElementById("control").hidden === false);
  if (button === "inject") getElementById("control").listeners.submit({preventDefault() {}});
  else getElementById("heal").listeners.click();
  await until(() => shown().said && !shown().said.endsWith("…"));
}
async function main() {
  await until(begun);
  print();
  for (const key of keys) {
    if (key === "wait") {
      now += 2000;
      ticks.forEach(tick => tick());
    } else if (["inject", "heal"].includes(key)) await press(key);
    else document.keydown({key, target: {tagName: "BODY"}, preventDefault() {}});
    print();
  }
  process.exit(0);
}
main();
