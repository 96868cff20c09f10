"use strict";
// Reads the document beside this page and makes a form of each operation. Text goes into the page as text, never as HTML.
const here = new URL(".", location.href);
const at = path => here.href.replace(/\/$/, "") + path;

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

let components = {};
const resolved = schema => schema?.$ref ? components[schema.$ref.split("/").pop()] ?? {} : schema ?? {};

// An example of what a schema describes: what must be there; `all` shows what may be there too.
function example(schema, depth = 0) {
  schema = resolved(schema);
  if (schema.example !== undefined) return schema.example;
  if (schema.enum) return schema.enum[0];
  const chosen = (schema.oneOf ?? schema.anyOf ?? []).find(one => one.type !== "null");
  if (chosen) return example(chosen, depth);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map(part => example(part, depth)));
  const type = Array.isArray(schema.type) ? schema.type.find(name => name !== "null") : schema.type;
  if (type === "object" || schema.properties) {
    if (depth > 3) return {};
    const wanted = schema.required?.length ? schema.required : Object.keys(schema.properties ?? {});
    return Object.fromEntries(wanted.map(name => [name, example(schema.properties?.[name], depth + 1)]));
  }
  if (type === "array") return [example(schema.items, depth + 1)];
  if (type === "integer" || type === "number") return schema.minimum ?? 0;
  if (type === "boolean") return false;
  if (schema.format === "date-time") return new Date().toISOString();
  return schema.format === "uuid" ? "00000000-0000-0000-0000-000000000000" : "";
}

function shape(schema, indent = "", seen = []) {
  const name = schema?.$ref?.split("/").pop();
  if (name && seen.includes(name)) return name;
  const path = name ? [...seen, name] : seen;
  schema = resolved(schema);
  const several = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (several) {
    const parts = several.filter(one => one.type !== "null").map(one => shape(one, indent, path));
    return parts.join(schema.allOf ? " and " : " or ");
  }
  const type = [].concat(schema.type ?? "anything").filter(one => one !== "null").join(" or ");
  if (schema.enum) return schema.enum.map(word => JSON.stringify(word)).join(" | ");
  if (type === "array") return "[ " + shape(schema.items, indent, path) + " ]";
  if (!schema.properties) return type + (schema.format ? " (" + schema.format + ")" : "");
  const required = schema.required ?? [];
  const lines = Object.entries(schema.properties).map(([member, of]) => {
    const note = (of.description ?? resolved(of).description ?? "").split("\n")[0];
    return indent + "  " + member + (required.includes(member) ? "" : "?") + ": " + shape(of, indent + "  ", path) + (note ? "  — " + note : "");
  });
  return "{\n" + lines.join("\n") + "\n" + indent + "}";
}

function field(parameter) {
  const input = element("input", { autocomplete: "off", spellcheck: false, placeholder: parameter.required ? "required" : "" });
  const note = parameter.description ?? "";
  return { parameter, input, row: element("tr", {}, element("td", {}, element("code", { textContent: parameter.name }), element("div", { className: "quiet", textContent: parameter.in })), element("td", {}, input), element("td", { className: "quiet", textContent: note })) };
}

function form(verb, path, operation) {
  const body = element("div");
  if (operation.description) body.append(element("p", { textContent: operation.description }));
  const scopes = (operation.security ?? []).flatMap(scheme => scheme.bearer ?? []);
  if (scopes.length) body.append(element("p", { className: "quiet", textContent: "needs a token with " + scopes.join(" ") }));
  const fields = (operation.parameters ?? []).map(field);
  if (fields.length) body.append(element("table", {}, element("tbody", {}, ...fields.map(one => one.row))));
  const contents = Object.entries(operation.requestBody?.content ?? {});
  let kind = null, text = null;
  if (contents.length) {
    kind = element("select", {}, ...contents.map(([type]) => element("option", { textContent: type })));
    text = element("textarea", { rows: 8, spellcheck: false });
    const filled = () => {
      const shown = example(operation.requestBody.content[kind.value].schema);
      text.value = kind.value.includes("form") ? new URLSearchParams(shown).toString() : kind.value.includes("ndjson") ? JSON.stringify(shown) : JSON.stringify(shown, null, 2);
    };
    kind.addEventListener("change", filled);
    filled();
    const schema = element("details", {}, element("summary", { textContent: "its shape" }), element("div", {}, element("pre", { textContent: shape(contents[0][1].schema) })));
    body.append(element("label", {}, "Body ", kind), text, schema);
  }
  const answer = element("div");
  const send = element("button", { textContent: "Send" });
  send.addEventListener("click", () => request(verb, path, fields, kind, text, answer));
  const answers = element("table", {}, element("tbody", {}, ...Object.entries(operation.responses ?? {}).map(([status, one]) => {
    const schema = Object.values(one.content ?? {})[0]?.schema;
    return element("tr", {}, element("td", { textContent: status }), element("td", {}, one.description ?? "", schema ? element("details", {}, element("summary", { textContent: "its shape" }), element("div", {}, element("pre", { textContent: shape(schema) }))) : null));
  })));
  body.append(send, answer, element("p", { className: "quiet", textContent: "Answers" }), answers);
  return body;
}

async function request(verb, path, fields, kind, text, answer) {
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, input } of fields) {
    if (input.value === "") continue;
    if (parameter.in === "path") path = path.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    if (parameter.in === "query") query.set(parameter.name, input.value);
    if (parameter.in === "header") headers[parameter.name] = input.value;
  }
  const token = document.getElementById("token").value.trim();
  if (token) headers.Authorization = "Bearer " + token;
  if (text && text.value.trim() !== "") headers["Content-Type"] = kind.value;
  const url = at(path) + (query.size ? "?" + query : "");
  const began = performance.now();
  answer.replaceChildren(element("p", { className: "quiet", textContent: "…" }));
  try {
    const response = await fetch(url, { method: verb.toUpperCase(), headers, body: headers["Content-Type"] ? text.value : undefined, credentials: "omit", redirect: "error" });
    const said = await response.text();
    let shown = said;
    try { shown = JSON.stringify(JSON.parse(said), null, 2); } catch { /* not JSON: as it is */ }
    const took = Math.round(performance.now() - began);
    answer.replaceChildren(
      element("p", { className: "quiet", textContent: verb.toUpperCase() + " " + url }),
      element("p", { textContent: response.status + " " + response.statusText + " in " + took + " ms" }),
      element("pre", { textContent: [...response.headers].map(([name, value]) => name + ": " + value).join("\n") }),
      said ? element("pre", { textContent: shown }) : "");
  } catch (error) {
    answer.replaceChildren(element("p", { textContent: "no answer: " + error.message }));
  }
}

async function start() {
  const about = document.getElementById("about");
  const read = await fetch(at("/openapi.json"), { credentials: "omit" });
  const api = await read.json();
  components = api.components?.schemas ?? {};
  about.textContent = api.info.description + "\nVersion " + api.info.version + ", OpenAPI " + api.openapi + ", at " + (api.servers?.[0]?.url ?? here.href);
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const verb of ["get", "post", "put", "patch", "delete"]) {
      if (!item[verb]) continue;
      const operation = item[verb];
      const tag = operation.tags?.[0] ?? "other";
      const entry = element("details", { className: "operation" }, element("summary", {}, element("span", { className: "verb " + verb, textContent: verb.toUpperCase() }), element("code", { textContent: path }), element("span", { className: "quiet", textContent: "  " + (operation.summary ?? "") })));
      entry.dataset.words = (verb + " " + path + " " + (operation.summary ?? "") + " " + tag).toLowerCase();
      entry.addEventListener("toggle", () => { if (entry.open && entry.children.length === 1) entry.append(form(verb, path, operation)); });
      if (!groups.has(tag)) groups.set(tag, element("section", {}, element("h2", { textContent: tag })));
      groups.get(tag).append(entry);
    }
  }
  document.getElementById("operations").append(...groups.values());
  document.getElementById("find").addEventListener("input", event => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const entry of document.querySelectorAll(".operation")) entry.hidden = !words.every(word => entry.dataset.words.includes(word));
    for (const section of groups.values()) section.hidden = !section.querySelector(".operation:not([hidden])");
  });
}

start().catch(error => { document.getElementById("about").textContent = "openapi.json could not be read: " + error.message; });
