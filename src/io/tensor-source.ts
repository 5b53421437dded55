import { type DType, viewAs } from '../core/dtype.ts';
import { BookendError } from '../core/errors.ts';
import { elementCount, type Shape } from '../core/shape.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import type { SafetensorsFile } from './safetensors.ts';
import type { StoredDType } from './safetensors-header.ts';

/**
 * Where a tensor's bytes lie, for a reader that opens the file itself. The offset is from the start
 * of the file and need not be a multiple of the element size.
 */
export interface TensorLocation {
  readonly path: string;
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly dtype: StoredDType;
  readonly shape: Shape;
}

/** Named tensors of a checkpoint, read one by one; it may span files and rename or slice them. */
export interface TensorSource {
  /** File or folder, for messages. */
  readonly origin: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** What the tensors are made of, to derive sources that rename or slice them. */
  readonly views: ReadonlyMap<string, TensorView>;
  names(): string[];
  has(name: string): boolean;
  /** @throws BookendError `missing-tensor` */
  locate(name: string): TensorLocation;
  /**
   * Reads one tensor. F64 becomes f32; F32, F16, BF16, I8, U8 and I32 stay what they are.
   *
   * @throws BookendError `missing-tensor`; `unsupported` for a dtype without a counterpart
   */
  read(name: string): Promise<Tensor>;
  /** The stored bytes of one tensor, whatever its dtype. */
  readBytes(name: string): Promise<Uint8Array>;
  /** Closes the files that this source opened; a derived one leaves that to where it came from. */
  close(): Promise<void>;
}

/** A contiguous run of bytes in an open file, seen as a tensor. */
export interface TensorView {
  readonly file: SafetensorsFile;
  readonly location: TensorLocation;
}

const LOADABLE: Partial<Record<StoredDType, DType>> = {
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  I8: 's8',
  U8: 'u8',
  I32: 's32',
};

/** A source over views of `files`; every other kind of source is made of this one. */
export function sourceOfViews(
  origin: string,
  views: ReadonlyMap<string, TensorView>,
  files: readonly SafetensorsFile[],
): TensorSource {
  const view = (name: string): TensorView => {
    const found = views.get(name);
    if (found) return found;
    throw new BookendError(
      'missing-tensor',
      `${origin} has no tensor ${JSON.stringify(name)} among its ${views.size}; check that it is a checkpoint of this architecture.`,
    );
  };
  const readBytes = (name: string) => {
    const { file, location } = view(name);
    return file.readRange(location.byteOffset, location.byteLength);
  };
  return {
    origin,
    metadata: Object.assign({}, ...files.map((file) => file.metadata)),
    views,
    names: () => [...views.keys()],
    has: (name) => views.has(name),
    locate: (name) => view(name).location,
    readBytes,
    read: async (name) => {
      const { dtype, shape } = view(name).location;
      if (dtype !== 'F64' && !LOADABLE[dtype]) throw notLoadable(origin, name, dtype);
      return decode(dtype, shape, await readBytes(name));
    },
    close: async () => {
      await Promise.all(files.map((file) => file.close()));
    },
  };
}

/** The views of another source's tensors, to rename and slice. */
export function viewsOfFile(file: SafetensorsFile): Map<string, TensorView> {
  const views = new Map<string, TensorView>();
  for (const [name, entry] of file.entries) {
    views.set(name, { file, location: { path: file.path, ...entry } });
  }
  return views;
}

/** Rows [begin, end) along the first axis: still one run of bytes. */
export function sliceRows(view: TensorView, begin: number, end: number): TensorView {
  const { location } = view;
  const [rows, ...rest] = location.shape;
  const bytesPerRow = location.byteLength / rows;
  return {
    file: view.file,
    location: {
      ...location,
      byteOffset: location.byteOffset + begin * bytesPerRow,
      byteLength: (end - begin) * bytesPerRow,
      shape: [end - begin, ...rest],
    },
  };
}

/** The same bytes under another shape of as many elements. */
export function reshapeView(view: TensorView, shape: Shape): TensorView {
  return { file: view.file, location: { ...view.location, shape } };
}

function decode(dtype: StoredDType, shape: Shape, bytes: Uint8Array<ArrayBuffer>): Tensor {
  const count = elementCount(shape);
  if (dtype === 'F64') {
    return tensor('f32', shape, Float32Array.from(new Float64Array(bytes.buffer, 0, count)));
  }
  const loaded = LOADABLE[dtype]!;
  return tensor(loaded, shape, viewAs(loaded, bytes.buffer, 0, count));
}

function notLoadable(origin: string, name: string, dtype: StoredDType): BookendError {
  return new BookendError(
    'unsupported',
    `Tensor ${JSON.stringify(name)} of ${origin} is stored as ${dtype}, which Bookend does not compute with; export it as F32, F16 or BF16.`,
  );
}
