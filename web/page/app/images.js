/** The strip of opened images. */

import { byId, element } from "./dom.js";

/** Most images that are kept at once. */
export const MOST_IMAGES = 50;

export class Images {
    #engine;
    #onChoose;
    /** `scene` is a scene's seed, null for an image of the user's. @type {{source: () => Promise<object>, key: number, item: HTMLElement, scene: number | null}[]} */
    #opened = [];
    #chosen = null;

    /** @param {(key: number) => void} onChoose */
    constructor(onChoose) {
        this.#onChoose = onChoose;
    }

    use(engine) {
        this.#engine = engine;
    }

    /** Keys of all, in the order of the strip. */
    get keys() {
        return this.#opened.map(({ key }) => key);
    }

    get chosen() {
        return this.#chosen;
    }

    /** Opens a file; it is added to the strip and chosen. */
    async add(blob, name) {
        if (this.count >= MOST_IMAGES) {
            throw new Error(`${name}: ${MOST_IMAGES} images are open already, and no more are kept`);
        }
        try {
            await this.#open(() => this.#engine.addImage(blob), name, null);
        } catch (error) {
            throw new Error(`${name}: ${error.message}`);
        }
    }

    /** Shows a scene in the place of the one before; opened images stay. */
    async setScene(seed) {
        await this.clearScene();
        await this.#open(() => this.#engine.addScene(seed), `scene ${seed}`, seed);
    }

    /** How many images of the user's are open. */
    get count() {
        return this.#opened.filter(({ scene }) => scene === null).length;
    }

    /** Seed of the scene that is chosen; null for an image of the user's. */
    get scene() {
        return this.#opened.find(({ key }) => key === this.#chosen)?.scene ?? null;
    }

    /** Opens the same images in an engine that is new. */
    async reload() {
        for (const opened of this.#opened) {
            const { key, thumbnail } = await opened.source();
            thumbnail.close();
            const wasChosen = opened.key === this.#chosen;
            opened.key = key;
            if (wasChosen) {
                this.#chosen = key;
            }
        }
    }

    /** Forgets the scene; the last image of the user's is chosen then. */
    async clearScene() {
        for (const { key, item } of this.#opened.filter(({ scene }) => scene !== null)) {
            item.remove();
            await this.#engine.removeImage(key);
        }
        this.#opened = this.#opened.filter(({ scene }) => scene === null);
        this.choose(this.#opened.at(-1)?.key ?? null);
    }

    choose(key) {
        this.#chosen = key;
        for (const { key: own, item } of this.#opened) {
            item.firstChild.ariaPressed = String(own === key);
        }
    }

    async #open(source, name, scene) {
        const { key, width, height, thumbnail } = await source();
        const canvas = element("canvas", { width: thumbnail.width, height: thumbnail.height });
        canvas.getContext("2d").drawImage(thumbnail, 0, 0);
        thumbnail.close();
        const opened = { source, key, item: null, scene };
        const button = element(
            "button",
            {
                type: "button",
                title: `${name}, ${width}×${height}`,
                ariaLabel: `Show ${name}`,
                onclick: () => {
                    this.choose(opened.key);
                    this.#onChoose(opened.key);
                },
            },
            canvas,
        );
        opened.item = element("li", {}, button);
        this.#opened.push(opened);
        byId("strip").append(opened.item);
        this.choose(key);
    }
}
