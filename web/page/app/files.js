/** What a file is, by its name and its first bytes. */

const ends = (...endings) => ({ name }) => new RegExp(`\\.(${endings.join("|")})$`, "i").test(name);

export const isModel = ends("safetensors");
export const isConfig = ends("json");
const isPickle = ends("pth", "pt", "bin", "ckpt", "npz");
const isGraph = ends("onnx");
/** Ends of names that a page would not take for images by their type. */
const isOther = ends("zip", "txt", "pdf", "mp4", "toml", "gguf", "h5", "tar", "gz");

/** Longest header that is read to see what a file is. */
const MOST_HEADER = 64 << 20;

/** Why a file is neither image nor model, and what to do; null for one that may be. */
export function refusal(file) {
    if (isPickle(file)) {
        return `${file.name}: weights of PyTorch, and the page opens safetensors: \`singer export ${file.name} --to timm --out DIR\` makes DIR/model.safetensors and DIR/config.json`;
    }
    if (isGraph(file)) {
        return `${file.name}: an ONNX graph, and the page opens weights: \`singer export WEIGHTS --to timm --out DIR\` makes DIR/model.safetensors of those that the graph was made from`;
    }
    return isOther(file) ? `${file.name}: neither an image nor a .safetensors file` : null;
}

/**
 * What a safetensors file is for: `asked` where the user said it and the file agrees.
 * Files that cannot be read get the loader's message.
 *
 * @param {File} file
 * @param {"" | "teacher" | "student" | "adapters"} asked
 * @param {boolean} hasTeacher
 * @returns {Promise<"teacher" | "student" | "adapters">}
 */
async function roleOf(file, asked, hasTeacher) {
    const names = await tensorNames(file);
    if (names.some((name) => name.startsWith("adapter."))) {
        return "adapters";
    }
    if (asked === "adapters" && names.length > 0) {
        throw new Error(`${file.name} holds a model's weights and no adapters: say that it is a teacher or a student; \`singer fit\` and “Save adapters” write adapters`);
    }
    return asked || (hasTeacher && /student/i.test(file.name) ? "student" : "teacher");
}

async function tensorNames(file) {
    try {
        const length = new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true);
        if (length > MOST_HEADER) {
            return [];
        }
        return Object.keys(JSON.parse(await file.slice(8, 8 + Number(length)).text()));
    } catch {
        return [];
    }
}

/**
 * What one or two files are for, in the order in which they are loaded. Of two models, to be compared, the student is the
 * one that is called so, else the smaller file.
 *
 * @param {File[]} files
 * @returns {Promise<{file: File, role: "teacher" | "student" | "adapters"}[]>}
 */
export async function rolesOf(files, asked, hasTeacher) {
    const found = await Promise.all(files.map(async (file) => ({ file, role: await roleOf(file, asked, hasTeacher) })));
    const models = found.filter(({ role }) => role !== "adapters");
    if (models.length === 2) {
        const called = ({ file }) => Number(/student/i.test(file.name));
        models.sort((a, b) => called(a) - called(b) || b.file.size - a.file.size);
        models[0].role = "teacher";
        models[1].role = "student";
    }
    return [...models, ...found.filter(({ role }) => role === "adapters")];
}
