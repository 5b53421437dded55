import { ByteReader, damaged, unsupported } from './byte-reader.ts';
import { readThrift, type ThriftStruct } from './thrift.ts';

/** A column that holds values, at the end of a path through structures. */
export interface LeafColumn {
  readonly path: readonly string[];
  /** Among the leaves of the schema, in order. */
  readonly index: number;
  readonly type: (typeof TYPES)[number] | 'unknown';
  /** How many parts of the path may be null: a value is there at this definition level. */
  readonly maxDefinition: number;
  /** Whether a row may hold several values. */
  readonly repeated: boolean;
}

/** The pages of one column in one row group; where they lie is not yet checked. */
export interface ColumnChunk {
  readonly codec: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly length: number;
}

export interface RowGroup {
  readonly rows: number;
  /** In the order of the leaves. */
  readonly columns: readonly ThriftStruct[];
}

export interface Footer {
  readonly leaves: readonly LeafColumn[];
  readonly rowGroups: readonly RowGroup[];
}

const TYPES = [
  ...['BOOLEAN', 'INT32', 'INT64', 'INT96', 'FLOAT', 'DOUBLE'],
  ...['BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'],
] as const;
const REPEATED = 2;
const MAX_DEPTH = 32;
/** As many as a folder may have files; a row may cost no bytes, but it does cost memory. */
const MAX_ROWS = 1_000_000;

/**
 * Reads a file's metadata (parquet.thrift of apache/parquet-format, `FileMetaData`).
 *
 * @param bytes the metadata alone
 * @throws BookendError `invalid-argument`, or `unsupported` for too many rows
 */
export function readFooter(bytes: Uint8Array, origin: string): Footer {
  const file = readThrift(new ByteReader(bytes, origin));
  const leaves = leafColumns(file.structs(2), origin);
  const rowGroups = file.structs(4).map((group): RowGroup => {
    const columns = group.structs(1);
    if (columns.length !== leaves.length) {
      throw damaged(origin, `a row group has ${columns.length} columns of ${leaves.length}`);
    }
    return { rows: group.count(3), columns };
  });
  const rows = rowGroups.reduce((sum, group) => sum + group.rows, 0);
  if (rows > MAX_ROWS) {
    throw unsupported(origin, `${rows} rows`, `at most ${MAX_ROWS} in each of several files`);
  }
  return { leaves, rowGroups };
}

/** A column's name for messages; a file may call it anything. */
export function columnName(path: readonly string[]): string {
  return path
    .join('.')
    .replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?')
    .slice(0, 80);
}

/** The schema is a tree, stored depth first with the number of each element's children. */
function leafColumns(elements: readonly ThriftStruct[], origin: string): LeafColumn[] {
  const leaves: LeafColumn[] = [];
  let next = 0;
  const visit = (parent: Omit<LeafColumn, 'index' | 'type'>, children: number) => {
    if (parent.path.length > MAX_DEPTH) throw damaged(origin, 'its columns are nested too deeply');
    for (let i = 0; i < children; i++) {
      const element = elements[next++];
      if (!element) throw damaged(origin, 'its list of columns ends early');
      const repetition = element.has(3) ? element.count(3) : 0;
      const column = {
        path: [...parent.path, Buffer.from(element.bytes(4)).toString('utf8')],
        maxDefinition: parent.maxDefinition + (repetition === 0 ? 0 : 1),
        repeated: parent.repeated || repetition === REPEATED,
      };
      if (repetition > REPEATED) throw damaged(origin, 'a column is neither required nor optional');
      const below = element.has(5) ? element.count(5) : 0;
      if (below > 0) visit(column, below);
      else if (element.has(1)) {
        const type = TYPES[element.count(1)] ?? 'unknown';
        leaves.push({ ...column, index: leaves.length, type });
      }
    }
  };
  const [root] = elements;
  if (!root) throw damaged(origin, 'it has no columns');
  next = 1;
  visit({ path: [], maxDefinition: 0, repeated: false }, root.has(5) ? root.count(5) : 0);
  return leaves;
}

/**
 * Where the pages of a column of a row group lie.
 *
 * @param dataEnd where the data of the file ends
 * @throws BookendError `invalid-argument`, or `unsupported` for data in other files
 */
export function columnChunk(
  { columns }: RowGroup,
  leaf: LeafColumn,
  dataEnd: number,
  origin: string,
): ColumnChunk {
  const column = columns[leaf.index];
  if (column.has(1)) throw unsupported(origin, 'data in other files', 'all data in it');
  const meta = column.struct(3);
  const path = meta.texts(3);
  if (path.join('\0') !== leaf.path.join('\0')) {
    throw damaged(origin, `the data of ${columnName(leaf.path)} are those of ${columnName(path)}`);
  }
  // 0 stands for "there is none" with some writers.
  const dictionary = meta.has(11) ? meta.count(11) : 0;
  const data = meta.count(9);
  const offset = dictionary > 0 && dictionary < data ? dictionary : data;
  const length = meta.count(7);
  if (offset < 4 || offset + length > dataEnd) {
    throw damaged(origin, `the data of ${columnName(leaf.path)} are said to lie outside of it`);
  }
  return { codec: meta.count(4), offset, length };
}

/** How many values of a column of a row group are null, where the file says so. */
export function nullCount({ columns }: RowGroup, leaf: LeafColumn): number | undefined {
  const column = columns[leaf.index];
  if (!column.has(3) || !column.struct(3).has(12)) return undefined;
  const statistics = column.struct(3).struct(12);
  return statistics.has(3) ? statistics.count(3) : undefined;
}
