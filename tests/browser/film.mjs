// Takes the pictures of assets/page.gif: `node film.mjs FOLDER` after a build of the page.
// assets/README.md has the command that joins them.
import { mkdirSync, writeFileSync } from "node:fs";
import { launch, ON_CPU, open, redrawn, set, settled } from "./browser.mjs";

const folder = process.argv[2];
if (!folder) {
    console.error("film.mjs: name the folder for the pictures");
    process.exit(2);
}
mkdirSync(folder, { recursive: true });

const cleanups = [];
const browser = await launch();
const options = { ...ON_CPU, viewport: { width: 1100, height: 700 } };
const { page } = await open({ after: (cleanup) => cleanups.push(cleanup) }, browser, options);
await settled(page);

/** Pictures, each with how long it is shown in hundredths of a second. */
const frames = [];
async function take(time) {
    const name = `${String(frames.length).padStart(2, "0")}.png`;
    await page.screenshot({ path: `${folder}/${name}` });
    frames.push(`-delay ${time} ${name}`);
}

await take(250);
await page.click("#tour-start");
await take(450);
await page.click("#tour-next");
await take(450);
await page.click("#tour-next");
for (const at of [0.35, 0.45, 0.7]) {
    const teacher = await page.$('figure[data-panel="teacher"] .over');
    const { width, height } = await teacher.boundingBox();
    await redrawn(page, () => teacher.hover({ position: { x: at * width, y: (at < 0.5 ? 0.3 : 0.7) * height } }));
    await take(200);
}
// The pointer leaves the map with it.
await redrawn(page, () => page.click("#tour-end"));
for (const block of [0, 1, 2, 3, 4, 5, 3]) {
    await redrawn(page, () => set(page, "layer", block));
    await take(block === 3 ? 150 : 70);
}
await page.click("#find");
await page.waitForFunction(() => document.documentElement.dataset.state === "busy");
await take(80);
await settled(page);
await take(350);
writeFileSync(`${folder}/frames.txt`, frames.join("\n"));
for (const cleanup of cleanups.reverse()) {
    await cleanup();
}
await browser.close();
