// Every example payload of GitHub, a JSON line each: its event's name, its body, and the body's signature by GitHub's library.
import { createRequire } from "node:module";
import { Webhooks } from "@octokit/webhooks";

const examples = createRequire(`${process.cwd()}/`)("@octokit/webhooks-examples");
const webhooks = new Webhooks({ secret: process.env.SECRET });
for (const { name, examples: payloads } of examples.default ?? examples)
  for (const payload of payloads) {
    const body = JSON.stringify(payload);
    process.stdout.write(`${JSON.stringify({ name, body, signature: await webhooks.sign(body) })}\n`);
  }
