// The page that `singer inspect` writes, as people open it: on a phone, a desk and a wall, and on paper.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { launch, PATIENCE } from "./browser.mjs";

const BIN = process.env.SINGER_BIN;
const OPTIONS = { timeout: PATIENCE, skip: !BIN && "SINGER_BIN is not set" };
const axe = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

let browser;
let folder;
before(async () => {
    if (!BIN) return;
    folder = mkdtempSync(join(tmpdir(), "singer-report-"));
    const teacher = resolve("../../assets/demo-teacher.safetensors");
    const maps = ["--map", "pca,attention,segments,nearest", "--refine", "closed", "--sizes", "64"];
    const all = ["inspect", "scenes:20000-20012", "--teacher", teacher, ...maps, "--device", "cpu", "--out", folder];
    execFileSync(resolve(BIN), all, { stdio: "ignore" });
    browser = await launch({ webgpu: false });
});
after(async () => {
    await browser?.close();
    if (folder) rmSync(folder, { recursive: true });
});

async function open(t, width, options = {}) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, ...options });
    t.after(() => context.close());
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(`file://${join(folder, "report.html")}`);
    return { page, check: () => assert.deepEqual(complaints, []) };
}

const box = (locator) => locator.boundingBox();

test("maps of a layer fill the width of the screen, and nothing is wider than it", OPTIONS, async (t) => {
    for (const [width, least] of [[390, 1], [1440, 4], [2560, 4]]) {
        const { page, check } = await open(t, width);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${overflow} pixels beyond ${width}`);
        const layer = page.locator("article .layer").first();
        const faces = await layer.locator(".tile").evaluateAll((tiles) => tiles.map((tile) => tile.getBoundingClientRect().toJSON()));
        const line = faces.filter(({ top }) => top === faces[0].top);
        assert.ok(line.length > least, `${line.length} beside each other at ${width}`);
        const right = Math.max(...line.map((face) => face.right));
        assert.ok(right > width * (width > 2000 ? 0.5 : 0.75), `the first line ends at ${right} of ${width}`);
        check();
    }
});

test("a map opens large, steps to the next, and is compared under a slider by key and by pointer", OPTIONS, async (t) => {
    const { page, check } = await open(t, 1280);
    const faces = page.locator("article .tile .face");
    const small = await box(faces.nth(1));
    await faces.nth(1).focus();
    await page.keyboard.press("Enter");
    const large = page.locator("dialog .large");
    assert.ok((await box(large.locator(".face"))).width > 2.5 * small.width, "large");
    const title = () => page.locator("dialog strong").textContent();
    const first = await title();
    await page.locator("dialog button").nth(1).click();
    assert.notEqual(await title(), first, "the next");
    await page.locator("dialog button").nth(0).click();
    assert.equal(await title(), first, "and back");

    await page.locator("dialog select").selectOption({ index: 2 });
    const at = () => page.locator("dialog .compare").evaluate((node) => node.style.getPropertyValue("--at"));
    assert.equal(await at(), "50%");
    await page.locator("dialog .slide").focus();
    await page.keyboard.press("End");
    assert.equal(await at(), "100%");
    const { x, y, width, height } = await box(page.locator("dialog .compare"));
    await page.mouse.click(x + width / 4, y + height / 2);
    assert.ok(Math.abs(parseFloat(await at()) - 25) < 1);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("dialog[open]").count(), 0);
    const back = await faces.nth(1).evaluate((node) => node === document.activeElement);
    assert.ok(back, "the focus is back where it was");
    check();
});

test("before and after of every image stand under a slider at its top", OPTIONS, async (t) => {
    const { page, check } = await open(t, 390, { hasTouch: true });
    assert.equal(await page.locator("article .glance .compare").count(), 12);
    const sides = await page.locator(".glance .sides").first().textContent();
    assert.match(sides, /teacher.*closed form/);
    check();
});

for (const colorScheme of ["light", "dark"]) {
    test(`no rule of WCAG 2.2 AA is broken, ${colorScheme}, with the viewer open too`, OPTIONS, async (t) => {
        const { page, check } = await open(t, 1280, { colorScheme });
        await page.evaluate(axe);
        const broken = async () => {
            const values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
            const { violations } = await page.evaluate((values) => globalThis.axe.run({ runOnly: { type: "tag", values } }), values);
            return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`);
        };
        assert.deepEqual(await broken(), []);
        await page.locator("article .tile .face").nth(1).click();
        await page.locator("dialog select").selectOption({ index: 1 });
        assert.deepEqual(await broken(), []);
        check();
    });
}

test("it prints, without the controls, and stays small", OPTIONS, async (t) => {
    const { page, check } = await open(t, 1280);
    await page.emulateMedia({ media: "print" });
    assert.equal(await page.locator(".glance").first().isVisible(), false);
    assert.ok(await page.locator("article .tile").first().isVisible());
    const paper = await page.pdf({ format: "A4", printBackground: false });
    const pages = paper.toString("latin1").match(/\/Type\s*\/Page\b/g).length;
    assert.ok(pages > 5 && pages < 80, `${pages} pages`);
    assert.ok(statSync(join(folder, "report.html")).size < 20e6);
    check();
});
