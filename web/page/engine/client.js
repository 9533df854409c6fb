/**
 * The engine from the page's side: a worker does the work, so that the page stays
 * free. Methods are those of `worker.js`.
 *
 * @typedef {import("../pkg/singer_web.js").Panel} Panel
 * @typedef {import("../pkg/singer_web.js").DeviceInfo} DeviceInfo
 */

/** What the worker says when the GPU device is gone, and of each block that is done. */
const [LOST, BLOCK] = ["lost", "block"];

export class Engine {
    #worker;
    #waiting = new Map();
    #next = 0;
    #showing = false;
    /** @type {{request: object, resolve: Function, reject: Function} | null} */
    #wanted = null;
    #onLost;
    #onBlock = () => {};

    /** @type {DeviceInfo} */
    device;

    /**
     * Starts a worker and opens a device in it.
     *
     * @param {"auto" | "webgpu" | "cpu"} prefer
     * @param {{onLost?: (message: string) => void}} [listener]
     * @returns {Promise<Engine>}
     */
    static async start(prefer, { onLost } = {}) {
        const engine = new Engine(onLost);
        engine.device = await engine.#ask("open", [prefer]);
        return engine;
    }

    constructor(onLost = () => {}) {
        this.#onLost = onLost;
        this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
        this.#worker.addEventListener("message", ({ data }) => this.#heard(data));
        this.#worker.addEventListener("error", (event) => {
            event.preventDefault();
            this.#fail(event.message || "the engine could not be loaded");
        });
    }

    /** Ends the worker; what was asked of it is rejected. */
    stop() {
        this.#worker.terminate();
        this.#reject("the engine was stopped");
    }

    /**
     * Gives a canvas to the worker, which draws the panel on it; once for each element.
     *
     * @param {Panel} panel
     * @param {HTMLCanvasElement} canvas
     */
    attach(panel, canvas) {
        const offscreen = canvas.transferControlToOffscreen();
        return this.#ask("attach", [panel, offscreen], [offscreen]);
    }

    /** Sets the pixels of a panel's canvas. */
    resize(panel, width, height) {
        return this.#ask("resize", [panel, width, height]);
    }

    /** Decodes an image, which the worker keeps under the key that it gives. */
    addImage(blob) {
        return this.#ask("addImage", [blob]);
    }

    /** As `addImage`, of a procedural scene. */
    addScene(seed) {
        return this.#ask("addScene", [seed]);
    }

    removeImage(key) {
        return this.#ask("removeImage", [key]);
    }

    loadTeacher(name, bytes, configs, storage) {
        return this.#ask("loadTeacher", [name, bytes, configs, storage], [bytes]);
    }

    loadStudent(name, bytes, configs, storage) {
        return this.#ask("loadStudent", [name, bytes, configs, storage], [bytes]);
    }

    removeStudent() {
        return this.#ask("removeStudent", []);
    }

    loadAdapters(name, bytes) {
        return this.#ask("loadAdapters", [name, bytes], [bytes]);
    }

    /** Shows an image to the models. */
    look(key, side) {
        return this.#ask("look", [key, side]);
    }

    /**
     * Computes and draws all panels. While one runs, the latest of those asked for
     * waits; those between give null.
     */
    show(request) {
        return new Promise((resolve, reject) => {
            this.#wanted?.resolve(null);
            this.#wanted = { request, resolve, reject };
            if (!this.#showing) {
                this.#showNext();
            }
        });
    }

    async #showNext() {
        this.#showing = true;
        while (this.#wanted) {
            const { request, resolve, reject } = this.#wanted;
            this.#wanted = null;
            await this.#ask("show", [request]).then(resolve, reject);
        }
        this.#showing = false;
    }

    /**
     * Finds the teacher's closed form in opened images and scenes.
     *
     * @param {number[]} keys
     * @param {number[]} seeds
     * @param {number} side
     * @param {(done: number, blocks: number) => void} [onBlock]
     */
    estimate(keys, seeds, side, onBlock = () => {}) {
        this.#onBlock = onBlock;
        return this.#ask("estimate", [keys, seeds, side]);
    }

    startFit(keys, settings) {
        return this.#ask("startFit", [keys, settings]);
    }

    fitStep() {
        return this.#ask("fitStep", []);
    }

    adapters() {
        return this.#ask("adapters", []);
    }

    /** Begins to teach a new student on opened images and scenes. */
    startLesson(keys, seeds, settings) {
        return this.#ask("startLesson", [keys, seeds, settings]);
    }

    lessonStep() {
        return this.#ask("lessonStep", []);
    }

    /** Makes the student that learns the one that is shown. */
    showStudent() {
        return this.#ask("showStudent", []);
    }

    /** The student that learns, as a file. */
    saveStudent() {
        return this.#ask("saveStudent", []);
    }

    /** A palette's colours, least first, four bytes each. */
    palette(name) {
        return this.#ask("palette", [name]);
    }

    /** A panel as it was drawn last, at another size. */
    picture(panel, width, height) {
        return this.#ask("picture", [panel, width, height]);
    }

    #ask(method, args, transfer = []) {
        return new Promise((resolve, reject) => {
            const id = this.#next++;
            this.#waiting.set(id, { resolve, reject });
            this.#worker.postMessage({ id, method, args }, transfer);
        });
    }

    #heard({ id, value, error, event }) {
        if (event === LOST) {
            this.#fail(error);
            return;
        }
        if (event === BLOCK) {
            this.#onBlock(...value);
            return;
        }
        const asked = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error === undefined) {
            asked?.resolve(value);
        } else {
            asked?.reject(new Error(error));
        }
    }

    #fail(message) {
        this.#reject(message);
        this.#onLost(message);
    }

    #reject(message) {
        for (const { reject } of this.#waiting.values()) {
            reject(new Error(message));
        }
        this.#waiting.clear();
    }
}
