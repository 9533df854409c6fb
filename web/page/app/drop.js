/** Files that are dropped, pasted, picked or photographed. */

import { byId } from "./dom.js";
import { isConfig, isModel, refusal } from "./files.js";

/**
 * Calls back with the files that belong together.
 *
 * @param {(images: File[]) => void} onImages
 * @param {(models: File[], configs: Record<string, string>) => void} onModels one, or two to compare
 * @param {(message: string) => void} onOther
 */
export function listen(onImages, onModels, onOther) {
    const sort = async (files) => {
        const models = files.filter(isModel);
        const configs = files.filter(isConfig);
        const others = files.filter((file) => refusal(file) !== null);
        const images = files.filter((file) => ![...models, ...configs, ...others].includes(file));
        if (others.length > 0) {
            onOther(refusal(others[0]));
        }
        if (models.length > 2 || (models.length === 2 && configs.length > 0)) {
            onOther("too many files at once: open one .safetensors file, with its config.json, or two to compare");
        } else if (models.length > 0) {
            const texts = await Promise.all(configs.map((file) => file.text()));
            const named = configs.map(({ name }, at) => [name.toLowerCase(), texts[at]]);
            onModels(models, Object.fromEntries(named));
        } else if (configs.length > 0) {
            onOther(`${configs[0].name}: open it together with the .safetensors file beside it`);
        }
        if (images.length > 0) {
            onImages(images);
        }
    };
    for (const id of ["file", "camera", "model-file"]) {
        byId(id).addEventListener("change", ({ target }) => {
            const files = [...target.files];
            // The same file can be picked again.
            target.value = "";
            sort(files);
        });
    }
    addEventListener("paste", ({ clipboardData }) => {
        const files = [...(clipboardData?.files ?? [])];
        if (files.length > 0) {
            sort(files);
        }
    });
    addEventListener("dragover", (event) => {
        event.preventDefault();
        document.body.classList.add("dragging");
    });
    addEventListener("dragleave", ({ relatedTarget }) => {
        if (relatedTarget === null) {
            document.body.classList.remove("dragging");
        }
    });
    addEventListener("drop", (event) => {
        event.preventDefault();
        document.body.classList.remove("dragging");
        sort([...event.dataTransfer.files]);
    });
}
