import Torch

/// All parameters of a model by name, each filled once: from a checkpoint that was loaded before, or from
/// the run's seed and its name, so that the order of construction never matters.
///
/// Use: make a store, ``load(_:prefix:renaming:ignoring:optional:)`` what checkpoints there are, build the
/// layers on ``scope`` (they ask for their parameters), then ``checkComplete()``.
public final class ParameterStore {
    /// The type parameters have unless they ask for another; files in other types are cast.
    public let dtype: DType
    /// Where parameters live; on ``Torch/Device/meta`` they have a shape and no values, and files are asked
    /// for names, shapes and types alone.
    public let device: Device
    /// Decides, with the name, the values of parameters that no checkpoint provides.
    public let seed: UInt64
    /// Whether folders' weights are passed over, so that every parameter gets initial values: a model of the right
    /// shapes, to be measured.
    public let startsAnew: Bool

    struct Offer {
        let source: String
        let storedName: String
        let shape: [Int]
        let dtype: DType
        let make: () throws -> Tensor
    }

    private struct Coverage {
        let prefix: String
        let source: String
        let optional: [NamePattern]
    }

    private var parameters: [String: Tensor] = [:]
    private(set) var ties: [String: String] = [:]
    private var offers: [String: Offer] = [:]
    private var taken: [String: String] = [:]
    private var coverages: [Coverage] = []
    private var ignored: [NamePattern] = []
    private var trainedPrefixes: [String] = []
    private var buffers: Set<String> = []
    private let collectsFaults: Bool

    /// What is wrong with the checkpoint, where the store was made to go on: ``init(collectingFaultsAs:)``.
    public private(set) var faults: [ParameterError] = []
    /// Where the parameters of a store without values came from.
    private(set) var claimed: [String: Offer] = [:]
    private var trainsAdapters = false
    private var joined: [[Tensor]] = []
    /// What decides the adapters' dropout masks.
    public let dropout = DropoutNoise()
    // Kept by ParameterStore+Adapters.swift.
    var adaptations: [Adaptation] = []
    var adapters: [String: LowRankAdapter] = [:]
    var adapterParameters: Set<String> = []
    var linearLayers: Set<String> = []
    var matchedTargets: Set<String> = []

    /// An empty store.
    public init(
        dtype: DType = .float32, device: Device = .cpu, seed: UInt64, startsAnew: Bool = false
    ) {
        self.dtype = dtype
        self.device = device
        self.seed = seed
        self.startsAnew = startsAnew
        collectsFaults = false
    }

    /// An empty store on ``Torch/Device/meta`` that goes on where a checkpoint is wrong and remembers the
    /// ``faults``.
    public init(collectingFaultsAs dtype: DType) {
        self.dtype = dtype
        device = .meta
        seed = 0
        startsAnew = false
        collectsFaults = true
    }

    private func report(_ fault: ParameterError) throws {
        guard collectsFaults else { throw fault }
        faults.append(fault)
    }

    /// The root, where names start.
    public var scope: ParameterScope { ParameterScope(store: self, path: "") }

    // MARK: Checkpoints

    /// Offers the tensors of checkpoint files to the parameters that will be asked for.
    ///
    /// From now on every parameter whose name starts with `prefix` must be among them, or match `optional`.
    /// - Parameters:
    ///   - prefix: segments put before each (renamed) name of the files, such as `vision`.
    ///   - renaming: the name to use for a name in the files; nil passes the tensor over.
    ///   - ignoring: patterns (`*` stands for anything) of full names that need not be claimed.
    ///   - optional: patterns of full names that are filled with initial values where the files lack them.
    /// - Throws: ``ParameterError/duplicate(name:source:)`` when two tensors get one name.
    public func load(
        _ files: [SafetensorsFile], prefix: String = "", renaming: ((String) -> String?)? = nil,
        ignoring: [String] = [], optional: [String] = []
    ) throws {
        let start = Self.beginning(prefix)
        for file in files {
            for name in file.names {
                guard let renamed = renaming.map({ $0(name) }) ?? name else { continue }
                guard let shape = file.shape(of: name), let dtype = file.dtype(of: name) else {
                    continue
                }
                try offer(
                    start + renamed, shape: shape, dtype: dtype, source: file.path, storedName: name
                ) {
                    try file.tensor(name)
                }
            }
        }
        cover(
            prefix, source: files.map(\.path).joined(separator: ", "), ignoring: ignoring,
            optional: optional)
    }

    /// Offers one tensor under its full name, made only when a parameter asks for it: for layouts that
    /// differ from the model's (fused, transposed, permuted).
    ///
    /// - Parameter storedName: the tensor's name in the file, where it is another one.
    public func offer(
        _ name: String, shape: [Int], dtype: DType, source: String, storedName: String? = nil,
        _ make: @escaping () throws -> Tensor
    ) throws {
        guard offers[name] == nil, taken[name] == nil else {
            return try report(.duplicate(name: name, source: source))
        }
        offers[name] = Offer(
            source: source, storedName: storedName ?? name, shape: shape, dtype: dtype, make: make)
    }

    /// Offers one tensor that is there already under its full name.
    public func offer(_ name: String, _ tensor: Tensor, source: String = "conversion") throws {
        try offer(name, shape: tensor.shape, dtype: tensor.dtype, source: source) { tensor }
    }

    /// Makes every parameter under `prefix` come from what was offered, or match `optional`.
    public func cover(
        _ prefix: String, source: String, ignoring: [String] = [], optional: [String] = []
    ) {
        coverages.append(
            Coverage(prefix: prefix, source: source, optional: optional.map(NamePattern.init)))
        ignored += ignoring.map(NamePattern.init)
    }

    /// Lets offered tensors stay unclaimed whose full name matches one of `patterns` (`*` for anything).
    public func ignore(_ patterns: [String]) { ignored += patterns.map(NamePattern.init) }

    /// Makes sure that every offered tensor was claimed or ignored and every adapter's target matched, then lets go
    /// of the files.
    ///
    /// - Throws: ``ParameterError/unclaimed(names:source:nearest:)`` or
    ///   ``ParameterError/unmatchedTarget(_:nearest:)``. Missing, misshapen and duplicate
    ///   names were reported when the parameter was asked for.
    public func checkComplete() throws {
        let unclaimed = unclaimedNames.filter { name in !ignored.contains { $0.matches(name) } }
        if let first = unclaimed.first, let offer = offers[first] {
            let nearest = nearestName(to: first, among: parameters.keys)
            try report(.unclaimed(names: unclaimed, source: offer.source, nearest: nearest))
        }
        try checkTargets()
        offers = [:]
    }

    /// Names that were offered and that no parameter asked for, sorted.
    public var unclaimedNames: [String] { offers.keys.sorted() }

    func isOffered(_ name: String) -> Bool { offers[name] != nil }

    /// The file each parameter came from; parameters that are not here were filled with initial values.
    public var sources: [String: String] { taken }

    // MARK: Parameters

    /// All names in order, without second names of tied parameters.
    public var names: [String] { parameters.keys.sorted() }

    /// The parameter of this name, or of which this is a second name.
    public subscript(_ name: String) -> Tensor? { parameters[ties[name] ?? name] }

    /// Names and tensors in order whose name is under `prefix`; the empty prefix has them all.
    public func tensors(under prefix: String = "") -> [(name: String, tensor: Tensor)] {
        names.filter { Self.isUnder(prefix, $0) }.compactMap { name in
            parameters[name].map { (name, $0) }
        }
    }

    /// Number of values in all parameters under `prefix`.
    public func count(under prefix: String = "") -> Int {
        tensors(under: prefix).reduce(0) { $0 + $1.tensor.count }
    }

    func parameter(_ name: String, shape: [Int], initial: Initial, dtype: DType?) throws -> Tensor {
        guard parameters[name] == nil, ties[name] == nil else {
            throw ParameterError.duplicate(name: name, source: taken[name] ?? "model")
        }
        let tensor = try filled(name, shape: shape, initial: initial, dtype: dtype ?? self.dtype)
        tensor.requiresGradient = isTrained(name)
        parameters[name] = tensor
        return tensor
    }

    func buffer(_ name: String, shape: [Int], initial: Initial, dtype: DType?) throws -> Tensor {
        buffers.insert(name)
        return try parameter(name, shape: shape, initial: initial, dtype: dtype)
    }

    func tie(_ name: String, to target: String) throws -> Tensor {
        guard parameters[name] == nil, ties[name] == nil else {
            throw ParameterError.duplicate(name: name, source: "model")
        }
        guard let tensor = self[target] else {
            throw ParameterError.unknownTie(name: name, target: target)
        }
        ties[name] = ties[target] ?? target
        if let offer = offers.removeValue(forKey: name) { taken[name] = offer.source }
        return tensor
    }

    private func filled(
        _ name: String, shape: [Int], initial: Initial, dtype: DType
    ) throws -> Tensor {
        if let offer = offers[name] {
            if offer.shape != shape {
                try report(
                    .misshapen(
                        name: name, source: offer.source, found: offer.shape, expected: shape))
            }
            if !offer.dtype.isFloatingPoint {
                try report(
                    .wrongType(name: name, source: offer.source, dtype: "\(offer.dtype)"))
            }
            offers[name] = nil
            taken[name] = offer.source
            if device == .meta {
                claimed[name] = offer
                return .uninitialized(shape, dtype: dtype, device: .meta)
            }
            let made = try withoutGradients { try offer.make().to(dtype).to(device).contiguous() }
            guard made.shape == shape else {
                throw ParameterError.misshapen(
                    name: name, source: offer.source, found: made.shape, expected: shape)
            }
            return made
        }
        if let coverage = coverages.first(where: { coverage in
            Self.isUnder(coverage.prefix, name) && !isAdapter(name)
                && !coverage.optional.contains { $0.matches(name) }
        }) {
            try report(
                .missing(
                    name: name, source: coverage.source,
                    nearest: nearestName(to: name, among: offers.keys)))
        }
        if device == .meta { return .uninitialized(shape, dtype: dtype, device: .meta) }
        let values = withoutGradients {
            initial.values(shape, seed: TorchNN.seed(for: name, run: seed)).to(dtype).to(device)
        }
        guard values.shape == shape else {
            throw ParameterError.misshapen(
                name: name, source: "initial value", found: values.shape, expected: shape)
        }
        return values
    }

    // MARK: Training

    /// Trains exactly the parameters under these prefixes (also those made later) and freezes the others.
    ///
    /// A prefix is a name or a whole beginning of names: `vision` has `vision.patch`, not `visionary`;
    /// the empty prefix has everything.
    /// - Parameter adapters: trains all low-rank adapters too, wherever they are.
    /// - Returns: prefixes that no parameter made so far is under.
    @discardableResult
    public func train(_ prefixes: [String], adapters: Bool = false) -> [String] {
        trainedPrefixes = prefixes
        trainsAdapters = adapters
        for (name, tensor) in parameters {
            let trained = isTrained(name)
            tensor.requiresGradient = trained
            if !trained { tensor.gradient = nil }
        }
        if device != .meta { joined.forEach(Tensor.layTogether) }
        return prefixes.filter { prefix in !parameters.keys.contains { Self.isUnder(prefix, $0) } }
    }

    /// Lays these parameters' memory together when training begins.
    func join(_ tensors: [Tensor]) {
        if tensors.count > 1 { joined.append(tensors) }
    }

    /// Parameters that are trained, in the order of their names.
    public var trainable: [(name: String, tensor: Tensor)] {
        tensors().filter { $0.tensor.requiresGradient }
    }

    /// Forgets all gradients.
    public func clearGradients() {
        for tensor in parameters.values { tensor.gradient = nil }
    }

    private func isTrained(_ name: String) -> Bool {
        if trainsAdapters && isAdapter(name) { return true }
        return !buffers.contains(name) && trainedPrefixes.contains { Self.isUnder($0, name) }
    }

    /// A prefix as it stands before names: with a dot at its end unless it is empty.
    private static func beginning(_ prefix: String) -> String {
        prefix.isEmpty || prefix.hasSuffix(".") ? prefix : prefix + "."
    }

    static func isUnder(_ prefix: String, _ name: String) -> Bool {
        guard !prefix.isEmpty, prefix != name, !prefix.hasSuffix(".") else {
            return name.hasPrefix(prefix)
        }
        return name.hasPrefix(prefix + ".")
    }

    // MARK: Saving

    /// A store with the same names, whose values of this moment `held` holds, to be saved while training goes on.
    public func saved(holding held: HeldValues) -> ParameterStore {
        let copy = ParameterStore(dtype: dtype, device: device, seed: seed)
        copy.ties = ties
        copy.buffers = buffers
        for (name, tensor) in tensors() {
            copy.parameters[name] = held.hold(tensor, changes: tensor.requiresGradient)
        }
        copy.adapterParameters = adapterParameters
        copy.adapters = adapters.mapValues { $0.with(values: copy.parameters) }
        return copy
    }

    /// Writes the parameters under `prefix`, the prefix cut off their names, as one safetensors file; adapters are
    /// left out, as in ``saved(under:merging:)``.
    ///
    /// - Parameters:
    ///   - prefix: what ``load(_:prefix:renaming:ignoring:optional:)`` would be given, such as `vision`.
    ///   - renaming: the name in the file for a name without prefix; nil leaves the tensor out.
    ///   - dtype: cast to this type; nil keeps each parameter's own.
    ///   - merging: adds the adapters to the weights of their layers.
    public func save(
        to path: String, prefix: String = "", renaming: ((String) -> String?)? = nil,
        dtype: DType? = nil, merging: Bool = false, metadata: [String: String] = ["format": "pt"]
    ) throws {
        var tensors: [(String, Tensor)] = []
        let start = Self.beginning(prefix)
        for (name, tensor) in saved(under: start, merging: merging) {
            let short = String(name.dropFirst(start.count))
            guard let renamed = renaming.map({ $0(short) }) ?? short else { continue }
            tensors.append((renamed, dtype.map { tensor.detached().to($0) } ?? tensor))
        }
        try SafetensorsFile.write(tensors, metadata: metadata, to: path)
    }
}
