// node page.mjs [webgpu|cpu]: how long the page in web/dist takes to be ready, and every
// task of over 50 ms on its own thread while it is used.
import { chromium } from "playwright-core";
import { fileURLToPath } from "node:url";
import { serve } from "../../tests/browser/server.mjs";

const [backend = "webgpu"] = process.argv.slice(2);
const PATIENCE = { timeout: 600_000 };
const server = await serve(fileURLToPath(new URL("../../web/dist", import.meta.url)));
const browser = await chromium.launch({
    executablePath: process.env.SINGER_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
await page.addInitScript(() => {
    globalThis.long = [];
    const keep = (list) => globalThis.long.push(...list.getEntries().map(({ duration }) => Math.round(duration)));
    new PerformanceObserver(keep).observe({ type: "longtask", buffered: true });
});

const drawn = () => page.evaluate(() => Number(document.documentElement.dataset.drawn ?? 0));
/** Milliseconds until the maps were drawn once more, and the long tasks meanwhile. */
async function measure(action) {
    const before = await drawn();
    await page.evaluate(() => globalThis.long?.splice(0));
    const start = performance.now();
    await action();
    const again = (before) => Number(document.documentElement.dataset.drawn) > before && document.documentElement.dataset.state === "ready";
    await page.waitForFunction(again, before, PATIENCE);
    const ms = Math.round(performance.now() - start);
    return { ms, long: await page.evaluate(() => globalThis.long.slice()) };
}

const slide = (id, value) =>
    page.$eval(
        `#${id}`,
        (control, value) => {
            control.value = value;
            control.dispatchEvent(new Event("input", { bubbles: true }));
        },
        value,
    );

/** Drops a photograph of twelve megapixels. */
async function dropLarge() {
    const transfer = await page.evaluateHandle(async () => {
        const canvas = new OffscreenCanvas(4000, 3000);
        const context = canvas.getContext("2d");
        for (let at = 0; at < 4000; at += 1) {
            context.fillStyle = `hsl(${at * 7} 70% ${20 + (at % 60)}%)`;
            context.fillRect((at * 997) % 4000, (at * 613) % 3000, 300, 200);
        }
        const transfer = new DataTransfer();
        transfer.items.add(new File([await canvas.convertToBlob({ type: "image/jpeg" })], "large.jpg", { type: "image/jpeg" }));
        return transfer;
    });
    return measure(() => page.dispatchEvent("body", "drop", { dataTransfer: transfer }));
}

const report = { backend };
await page.goto(server.url.replace(/demo\/$/, "demo/models/models.json"));
// That long tasks are seen at all: one of 80 ms, on purpose.
await page.evaluate(() => setTimeout(() => { for (const end = performance.now() + 80; performance.now() < end; ); }));
await page.waitForFunction(() => globalThis.long.length > 0, null, { timeout: 10_000 });
report.ready = await measure(() => page.goto(`${server.url}?device=${backend}`));
report.first_times = await page.textContent("#times");
report.layer = await measure(() => slide("layer", "5"));
report.factor = await measure(() => slide("factor", "3"));
report.side = await measure(() => slide("side", "2"));
report.artifacts_found_in_64_scenes = await measure(() => page.click("#find"));
report.scene = await measure(() => page.click("#scene"));
report.photograph_of_12_megapixels = await dropLarge();
await page.click("summary");
await page.fill("#train-steps", "3");
report.three_steps_of_training = await measure(() => page.click("#train"));
report.last_times = await page.textContent("#times");
console.log(JSON.stringify(report, null, 4));
await browser.close();
await server.close();
