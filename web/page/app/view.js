/** What the controls say, and the same in the page's address. */

import { byId, element } from "./dom.js";

/** Controls by their key in the address. */
const CONTROLS = {
    block: "layer",
    k: "factor",
    refine: "strength",
    over: "overlay",
    colours: "palette",
    patches: "upsampling",
    range: "range",
    input: "side",
};
const DEFAULTS = { layer: "3", factor: "2.5", strength: "1", overlay: "1", palette: "inferno", upsampling: "nearest", range: "shared" };
/** The engine's own threshold, which the page does not show. */
const QUANTILE = 0.97;
/** Shorter sides in pixels that photographs are looked at with, and the largest of them to start with. */
const [SIDES, FIRST_SIDE] = [[224, 336, 518], 256];
/** Models for smaller images get multiples of their own side. */
const SMALL = 112;

/**
 * The patch that is kept marked, the scene that is shown where one is, and the name of the
 * teacher where it is the user's own.
 */
export const marked = { patch: null, scene: null, model: null };
/** The input size that the address asks for, until a teacher offers it. */
let wantedSide = null;

/** Reads the address into the controls; what it does not say is the default. */
export function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const [key, id] of Object.entries(CONTROLS).filter(([, id]) => id !== "side")) {
        const control = byId(id);
        control.value = DEFAULTS[id];
        if (given.has(key)) {
            const before = control.value;
            control.value = given.get(key);
            if (control.value === "") {
                control.value = before;
            }
        }
    }
    const whole = (key) => (/^\d{1,9}$/.test(given.get(key) ?? "") ? Number(given.get(key)) : null);
    marked.patch = whole("patch");
    marked.scene = whole("scene");
    marked.model = given.get("model");
    wantedSide = whole("input");
    chooseSide();
    label();
}

/** The address of what is shown; an image is never part of it. */
export function writeAddress() {
    const entries = Object.entries(CONTROLS).map(([key, id]) => [key, byId(id).value]);
    const standard = { ...DEFAULTS, side: byId("side").dataset.first };
    const own = entries.filter(([key, value]) => value !== standard[CONTROLS[key]]);
    for (const [key, value] of Object.entries(marked)) {
        if (value !== null) {
            own.push([key, value]);
        }
    }
    history.replaceState(null, "", `#${new URLSearchParams(own)}`);
}

/** What `Engine.show` is asked for, with the patch that is marked now. */
export function request(patch) {
    const number = (id) => Number(byId(id).value);
    return {
        layer: number("layer"),
        quantile: QUANTILE,
        strength: number("strength"),
        patch,
        palette: byId("palette").value,
        upsampling: byId("upsampling").value,
        opacity: number("overlay"),
        shared: byId("range").value === "shared",
    };
}

/** Times the median: norms above are outliers. */
export const factor = () => Number(byId("factor").value);

/** Shorter side of the input in pixels. */
export const side = () => Number(byId("side").value);

/** Blocks of the model; a block beyond them becomes the last. */
export function setBlocks(depth) {
    byId("layer").max = depth - 1;
    label();
}

/** Offers the input sizes of a teacher, in whole patches, and chooses one. */
export function setSides({ size, patch }) {
    const own = Math.min(...size);
    const whole = (side) => Math.max(1, Math.floor(side / patch)) * patch;
    const offered = own < SMALL ? [own, 2 * own, 4 * own] : [own, ...SIDES];
    const sides = [...new Set(offered.map(whole))].sort((a, b) => a - b);
    const option = (side) => {
        const patches = `${side} px, ${side / patch}×${side / patch} patches`;
        return element("option", { value: side }, side === whole(own) ? `${patches} (the model's own)` : patches);
    };
    byId("side").replaceChildren(...sides.map(option));
    // A large own size takes minutes where there is no GPU.
    byId("side").dataset.first = own <= FIRST_SIDE ? whole(own) : sides.filter((side) => side <= FIRST_SIDE).at(-1);
    chooseSide();
}

function chooseSide() {
    const select = byId("side");
    const there = [...select.options].some(({ value }) => value === String(wantedSide));
    select.value = there ? wantedSide : select.dataset.first;
    if (select.options.length > 0) {
        wantedSide = null;
    }
}

/** Writes each slider's value beside it. */
export function label() {
    const last = byId("layer").max;
    byId("layer-value").value = `${byId("layer").value} of 0–${last}`;
    byId("factor-value").value = `${factor()} × median`;
    const strength = Number(byId("strength").value);
    byId("strength-value").value = strength === 0 ? "none" : `${strength.toFixed(2)} ×`;
    byId("overlay-value").value = `${Math.round(100 * Number(byId("overlay").value))} %`;
}

/** Calls back for every change of a control, and says whether the input changed. */
export function onChange(changed) {
    for (const id of Object.values(CONTROLS)) {
        byId(id).addEventListener("input", () => {
            label();
            changed(id === "side");
        });
    }
}
