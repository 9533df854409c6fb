// Whether everyone can use the page: contrast, names and roles by axe-core, and nothing
// that jumps.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { drop, launch, ON_CPU, open, PATIENCE, redrawn, settled } from "./browser.mjs";
import { checkpoint, empty, jpeg } from "./files.mjs";

const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let browser;
before(async () => {
    browser = await launch();
});
after(() => browser.close());

/** Rules that the page breaks as it is, and where. */
async function broken(page) {
    const { violations, passes } = await page.evaluate((values) => globalThis.axe.run({ runOnly: { type: "tag", values } }), RULES);
    assert.ok(passes.some(({ id }) => id === "color-contrast"), "contrast was looked at");
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

for (const colorScheme of ["light", "dark"]) {
    for (const width of [390, 1440]) {
        const title = `no rule of WCAG 2.2 AA is broken at ${width} pixels, ${colorScheme}`;
        test(title, { timeout: PATIENCE }, async (t) => {
            const options = { ...ON_CPU, colorScheme, viewport: { width, height: 900 } };
            const { page, check } = await open(t, browser, options);
            await settled(page);
            // As text, which the page's policy allows to the tests alone.
            await page.evaluate(axe);
            assert.deepEqual(await broken(page), []);
            await page.click("#tour-start");
            assert.deepEqual(await broken(page), [], "with the tour");
            await page.click("#tour-end");
            await redrawn(page, () => page.click("#find"));
            assert.deepEqual(await broken(page), [], "with what was found");
            await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
            await redrawn(page, () => drop(page, [jpeg]));
            await page.click("summary");
            await page.fill("#train-steps", "2");
            await page.fill("#train-rank", "4");
            await redrawn(page, () => page.click("#train"));
            await page.focus('figure[data-panel="teacher"] .over');
            await redrawn(page, () => page.keyboard.press("ArrowRight"));
            await drop(page, [empty]);
            await page.waitForSelector("#error:not([hidden])");
            assert.deepEqual(await broken(page), [], "with a mark, a loss, a kept model and an error");
            check();
        });
    }
}

test("nothing moves while the page loads and draws", { timeout: PATIENCE }, async (t) => {
    for (const width of [390, 1440]) {
        const { page, check } = await open(t, browser, { ...ON_CPU, viewport: { width, height: 900 } });
        await settled(page);
        const shifts = await page.evaluate(
            () =>
                new Promise((resolve) => {
                    new PerformanceObserver((list) => resolve(list.getEntries().map(({ value, sources }) => [value, sources.map(({ node }) => node?.id || node?.nodeName)]))).observe({ type: "layout-shift", buffered: true });
                    setTimeout(resolve, 500, []);
                }),
        );
        // 0.1 counts as good; this is a tenth of it.
        const total = shifts.reduce((sum, [value]) => sum + value, 0);
        assert.ok(total < 0.01, `${width} pixels: ${JSON.stringify(shifts)}`);
        check();
    }
});
