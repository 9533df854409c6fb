// Headless Chromium, whose WebGPU is a software rasteriser.
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { chromium } from "playwright-core";
import { HUB } from "./hub.mjs";
import { serve } from "./server.mjs";

export const DIST = resolve(process.env.SINGER_WEB_DIST ?? "../../web/dist");
/** In tests of the page alone: the software rasteriser needs seconds for each picture. */
export const ON_CPU = { query: "?device=cpu" };
/** The page itself would measure that the rasteriser is slower than the CPU. */
export const ON_GPU = { query: "?device=webgpu" };
/** A forward pass takes seconds where there is no GPU. */
export const PATIENCE = 120_000;

const FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/** With these the rasteriser's WebGPU canvases can be shown. */
const SHOWN = ["--use-angle=swiftshader", "--use-vulkan=swiftshader", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];

/** @param {{webgpu?: boolean, shown?: boolean}} [options] */
export function launch({ webgpu = true, shown = false } = {}) {
    return chromium.launch({
        executablePath: process.env.SINGER_CHROMIUM ?? "/usr/bin/chromium",
        args: [...FLAGS, ...(shown ? SHOWN : []), webgpu ? "--enable-unsafe-webgpu" : "--disable-features=WebGPU"],
    });
}

/**
 * Opens the page in a context of its own until the test `t` ends; `check` fails on
 * anything that the console, the page or the network reported. Requests to the hub go to
 * `hub`, where one is given.
 */
export async function open(t, browser, { query = "", hash = "", patches, hub, ...options } = {}) {
    const server = await serve(DIST, patches);
    t.after(() => server.close());
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    t.after(() => context.close());
    await hub?.answer(context);
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (message) => {
        if (message.type() === "error") {
            complaints.push(message.text());
        }
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    context.on("request", (request) => {
        const url = request.url();
        if (!url.startsWith(server.url) && !/^(blob|data):/.test(url) && !(hub && url.startsWith(HUB))) {
            complaints.push(`a request left for ${url}`);
        }
    });
    await page.goto(`${server.url}${query}${hash}`);
    return { page, context, check: () => assert.deepEqual(complaints, []) };
}

/** Waits until nothing runs; gives the error that is shown, if one is. */
export async function settled(page) {
    await page.waitForFunction(
        () => ["ready", "failed", "lost"].includes(document.documentElement.dataset.state),
        null,
        { timeout: PATIENCE },
    );
    return page.evaluate(() => {
        const error = document.getElementById("error");
        return error.hidden ? null : error.textContent;
    });
}

/** Does something and waits until the maps were drawn once more. */
export async function redrawn(page, action) {
    const before = await page.evaluate(() => Number(document.documentElement.dataset.drawn));
    await action();
    await page.waitForFunction(
        (before) => Number(document.documentElement.dataset.drawn) > before,
        before,
        { timeout: PATIENCE },
    );
    return settled(page);
}

/** Drops files on the page. */
export async function drop(page, files) {
    const plain = files.map(({ name, type = "", bytes }) => ({ name, type, bytes: [...bytes] }));
    const transfer = await page.evaluateHandle((files) => {
        const transfer = new DataTransfer();
        for (const { name, type, bytes } of files) {
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
        }
        return transfer;
    }, plain);
    await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
}

/** Sets a slider or a menu as a user would. */
export async function set(page, id, value) {
    await page.$eval(
        `#${id}`,
        (control, value) => {
            control.value = value;
            control.dispatchEvent(new Event("input", { bubbles: true }));
        },
        String(value),
    );
}

/** The text of an element. */
export const text = (page, selector) => page.$eval(selector, (found) => found.textContent);

/** A number that the page shows. */
export const number = async (page, selector) => Number.parseFloat(await text(page, selector));
