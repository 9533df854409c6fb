/** What shows features. */
export type Panel = "teacher" | "refined" | "student";

/** Pixels, row by row, four bytes each: red, green, blue, and an alpha that is ignored. */
export interface Image {
    data: Uint8ClampedArray;
    width: number;
    height: number;
}

export interface ImageSize {
    width: number;
    height: number;
    format: string;
}

export interface DeviceInfo {
    backend: "webgpu" | "cpu";
    name: string;
    /** Bytes that one kernel can bind. */
    maxBindingBytes: number;
    /** Why the device is gone; every call throws then. */
    lost: string | null;
}

export interface ModelInfo {
    /** timm's name, or a description. */
    arch: string;
    /** Whose names the file's tensors have. */
    naming: string;
    /** Blocks. */
    depth: number;
    /** Of a token. */
    width: number;
    /** Side of a patch in pixels. */
    patch: number;
    /** The model's own input, height and width in pixels. */
    size: [number, number];
    /** Class and register tokens before the patch tokens. */
    prefix: number;
    parameters: number;
    /** Whether its matrices are kept as f16. */
    half: boolean;
    /** What the file leaves open and was assumed. */
    assumed: string[];
}

/** How a model is kept. */
export interface Storage {
    /** Its matrices as f16, on a GPU; the CPU keeps them as f32 all the same. */
    half: boolean;
}

export interface AdapterInfo {
    /** The teacher's blocks that have an adapter, from 0. */
    layers: number[];
    /** The highest of them; 0 where there are none. */
    rank: number;
    /** Whether they are a closed form, after which later blocks read refined tokens. */
    closed: boolean;
}

export interface EstimateSettings {
    /** Of the images in pixels; 0 for the teacher's own. */
    side: number;
}

/** A closed form. */
export interface Found {
    /** Those that write artifacts, ascending; none where nothing was found. */
    blocks: FoundBlock[];
    /** That were looked at. */
    images: number;
}

export interface FoundBlock {
    /** From 0. */
    block: number;
    /** Artifact directions. */
    rank: number;
    /** Share of patches that are refined. */
    patches: number;
    /** Share of images whose class token is refined; null where the model has none. */
    classTokens: number | null;
}

/** How long a stage took. */
export interface Stage {
    stage: string;
    /** Until its results were there, in milliseconds. */
    ms: number;
    /** On the GPU, in milliseconds; null on the CPU and where the device does not tell. */
    gpu: number | null;
}

export interface Looked {
    /** Height and width in pixels of what the models saw. */
    size: [number, number];
    /** Patches along height and width. */
    grid: [number, number];
    image: Image;
    times: Stage[];
}

export interface View {
    /** The teacher's block, from 0. */
    layer: number;
    /** Of the image's norms, above which a patch is an outlier: 0 to 1. */
    quantile: number;
    /** Of the refinement: 0 none, 1 the adapter's own. */
    strength: number;
}

export interface PanelNumbers {
    /** The block of the panel's own model. */
    layer: number;
    /** L2 norm of every patch token, row by row. */
    norms: Float32Array;
    /** The quantile: of the teacher's norms, also for the refined ones; the student's own. */
    threshold: number;
    /** Patches above it. */
    outliers: number;
    median: number;
    max: number;
    /** Largest over median. */
    ratio: number;
}

export interface Maps {
    grid: [number, number];
    teacher: PanelNumbers;
    /** Null where the layer has no adapter; of a closed form, the teacher's up to the first block that it refines. */
    refined: PanelNumbers | null;
    /** Null without a student. */
    student: PanelNumbers | null;
    times: Stage[];
}

export interface Look {
    kind: "norm" | "similarity";
    palette: "inferno" | "viridis" | "magma" | "turbo" | "grey" | "diverging";
    upsampling: "nearest" | "bilinear";
    /** Share of the map over the image: 1 for the map alone. */
    opacity: number;
    /** Values of the first and the last colour; null for the map's own least and largest. */
    range: [number, number] | null;
}

export interface FitSettings {
    /** The teacher's blocks; the last one is always added. */
    layers: number[];
    /** Of the images in pixels; 0 for the teacher's own. */
    side: number;
    /** Of the adapters. */
    rank: number;
    quantile: number;
    /** Highest learning rate of AdamW; a half cosine leads from it to zero. */
    lr: number;
    steps: number;
    /** Weight of the outlier loss. */
    outlier: number;
    /** Weight of the information loss. */
    info: number;
}

export interface FitStep {
    step: number;
    steps: number;
    /** The weighted losses of the step's images, before the step. */
    outlier: number;
    info: number;
    done: boolean;
}

export interface LessonSettings {
    /** The teacher's blocks that the student learns from; the last one is always added. */
    layers: number[];
    /** Of the images in pixels; 0 for the teacher's own. */
    side: number;
    /** Of the student's tokens, a multiple of 32. */
    width: number;
    /** Highest learning rate of AdamW; a half cosine leads from it to zero. */
    lr: number;
    steps: number;
    /** Whether it learns from what a closed form refines, where one does; else from the raw features. */
    refined: boolean;
}

export interface LessonStep {
    step: number;
    steps: number;
    /** Ten times the mean squared difference of the step's images, before the step. */
    loss: number;
    done: boolean;
}
