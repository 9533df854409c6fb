// node run.mjs MODEL.safetensors [webgpu|cpu] [ROUNDS]: needs web/dist and SINGER_BIN.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "../../tests/browser/server.mjs";

const [model, backend = "webgpu", rounds = "20"] = process.argv.slice(2);
const here = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), "singer-bench-"));
for (const file of ["index.html", "bench.js"]) {
    cpSync(join(here, file), join(folder, file));
}
symlinkSync(join(here, "node_modules"), join(folder, "node_modules"));
symlinkSync(resolve(here, "../../web/dist/pkg"), join(folder, "pkg"));
cpSync(model, join(folder, "model.safetensors"));
execFileSync(process.env.SINGER_BIN ?? "singer", ["export", model, "--to", "onnx", "--out", join(folder, "model.onnx")], { stdio: "ignore" });

const server = await serve(folder);
const browser = await chromium.launch({
    executablePath: process.env.SINGER_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking"],
});
const page = await browser.newPage();
await page.goto(`${server.url}?backend=${backend}&rounds=${rounds}`);
await page.waitForFunction(() => globalThis.measured, null, { timeout: 3_600_000 });
const { times, ...result } = await page.evaluate(() => globalThis.measured);
console.log(JSON.stringify(result, null, 4));
await browser.close();
await server.close();
rmSync(folder, { recursive: true });
