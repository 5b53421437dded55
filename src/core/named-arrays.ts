/** Float32 numbers by name, such as parameters, their gradients, or an optimizer's state. */
export type NamedArrays = ReadonlyMap<string, Float32Array>;
