import Foundation
import Testing

@testable import Torch

@Suite struct TensorTests {
    private let a = Tensor(doubles: [1.0, 2, 3, 4, 5, 6], shape: [2, 3])

    @Test func arraysGoInAndComeOutUnchanged() {
        #expect(Tensor([1.5, -2] as [Float], shape: [2]).floats() == [1.5, -2])
        #expect(Tensor([3, -4], shape: [2, 1]).ints() == [3, -4])
        #expect(Tensor([7, 255] as [UInt8], shape: [2]).bytes() == [7, 255])
        #expect(Tensor([true, false], shape: [2]).bools() == [true, false])
        #expect(Tensor([3, -4], shape: [2]).dtype == .int64)
        #expect(Tensor([] as [Float], shape: [0, 4]).shape == [0, 4])
        #expect(Tensor(2.5).item() == 2.5)
        #expect(Tensor(2.5).shape == [])
        #expect(Tensor([1 << 60 + 1], shape: []).itemInt() == 1 << 60 + 1)
    }

    @Test func makingGivesTheStatedValuesShapesAndTypes() {
        expectValues(.zeros([2, 2]), [0, 0, 0, 0], shape: [2, 2])
        expectValues(.ones([3], dtype: .int32), [1, 1, 1], shape: [3])
        expectValues(.full([2], 0.5, dtype: .bfloat16), [0.5, 0.5], shape: [2])
        #expect(Tensor.full([2], 3, dtype: .bool).bools() == [true, true])
        #expect(Tensor.arange(4).ints() == [0, 1, 2, 3])
        #expect(Tensor.arange(from: 2, to: 9, step: 3, dtype: .float32).floats() == [2, 5, 8])
        #expect(a.zerosLike().dtype == .float64 && a.onesLike().sum().item() == 6)
        #expect(a.rank == 2 && a.count == 6 && a.byteCount == 48 && a.device == .cpu)
    }

    @Test(arguments: DType.allCases)
    func everyTypeKeepsItsSizeAndName(_ dtype: DType) {
        let tensor = Tensor.zeros([3], dtype: dtype)
        #expect(tensor.dtype == dtype)
        #expect(tensor.bytes().count == 3 * dtype.size)
    }

    @Test func castingRoundsToTheNearestValue() {
        #expect(Tensor(1.00390625).to(.bfloat16).item() == 1)  // halfway, to the even one
        #expect(Tensor(1.01171875).to(.bfloat16).item() == 1.015625)
        #expect(Tensor(70000).to(.float16).item() == .infinity)
        #expect(Tensor(-1.7).to(.int64).itemInt() == -1)
        #expect(a.to(.float64) === a)
    }

    @Test func arithmeticOfIntegersAndWholeNumbersStaysInteger() {
        let ids = Tensor.arange(3)
        #expect((ids + 1).dtype == .int64 && (ids + 1).ints() == [1, 2, 3])
        #expect((2 * ids - 1).ints() == [-1, 1, 3])
        #expect((ids / 2).floats() == [0, 0.5, 1])
        #expect((ids + 0.5).dtype == .float32)
        #expect((5 - ids).ints() == [5, 4, 3])
        #expect(ids.remainder(2).ints() == [0, 1, 0])
    }

    @Test func operatorsAndFunctionsHaveTheirClosedForms() {
        let x = Tensor(doubles: [-2.0, -0.5, 0, 1.25], shape: [4])
        let forms: [(Tensor, (Double) -> Double)] = [
            (-x, { -$0 }), (x.exp(), exp), (x.square(), { $0 * $0 }), (x.abs(), abs),
            (x.tanh(), tanh), (x.sin(), sin), (x.cos(), cos), (x.erf(), erf),
            (x.sigmoid(), { 1 / (1 + exp(-$0)) }), (x.relu(), { max($0, 0) }),
            (x.silu(), { $0 / (1 + exp(-$0)) }), (x.quickGELU(), { $0 / (1 + exp(-1.702 * $0)) }),
            (x.gelu(), { 0.5 * $0 * (1 + erf($0 / 2.0.squareRoot())) }),
            (
                x.gelu(tanh: true),
                {
                    0.5 * $0
                        * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0)))
                }
            ),
            (x.softplus(), { log(1 + exp($0)) }), (x.logSigmoid(), { -log(1 + exp(-$0)) }),
            (x.round(), { $0.rounded(.toNearestOrEven) }), (x.floor(), { $0.rounded(.down) }),
            ((x + 3).log(), { log($0 + 3) }), ((x + 3).sqrt(), { ($0 + 3).squareRoot() }),
            ((x + 3).rsqrt(), { 1 / ($0 + 3).squareRoot() }),
            ((x + 3).reciprocal(), { 1 / ($0 + 3) }),
            ((x + 3).pow(1.5), { pow($0 + 3, 1.5) }),
            (x.clamped(min: -1, max: 1), { min(max($0, -1), 1) }),
            (x.clamped(min: 0), { max($0, 0) }), (3 - x, { 3 - $0 }),
            (1 / (x + 3), { 1 / ($0 + 3) }),
            (x.maximum(Tensor(0.1, dtype: .float64)), { max($0, 0.1) }),
            (x.minimum(Tensor(0.1, dtype: .float64)), { min($0, 0.1) }),
        ]
        for (found, form) in forms { expectValues(found, x.doubles().map(form), shape: [4]) }
    }

    @Test func comparisonsAndMasksAnswerElementwise() {
        #expect((a .> 3).bools() == [false, false, false, true, true, true])
        #expect((a .<= 2).bools() == [true, true, false, false, false, false])
        #expect((a .== a.flipped(axis: 1)).bools() == [false, true, false, false, true, false])
        #expect((a .!= 2).bools() == [true, false, true, true, true, true])
        #expect(((a .>= 2).logicalAnd(a .< 5)).bools() == [false, true, true, true, false, false])
        #expect(
            ((a .< 2).logicalOr(a .> 5)).logicalNot().bools() == [
                false, true, true, true, true, false,
            ])
        #expect((a .> 3).any() && !(a .> 3).all() && (a .> 0).all())
        expectValues(a.filled(where: a .> 4, with: 0), [1, 2, 3, 4, 0, 0], shape: [2, 3])
        #expect((a .> 4).nonZero().ints() == [1, 1, 1, 2])
        #expect(a.allFinite() && !(a / 0).allFinite())
        #expect(
            Tensor([1, .nan, .infinity] as [Float], shape: [3]).isFinite().bools() == [
                true, false, false,
            ])
    }

    @Test func reductionsHaveTheirClosedForms() {
        #expect(a.sum().item() == 21 && a.mean().item() == 3.5)
        expectValues(a.sum(axis: 0), [5, 7, 9], shape: [3])
        expectValues(a.mean(axis: -1, keepingAxis: true), [2, 5], shape: [2, 1])
        expectValues(a.sum(axes: [0, 1], keepingAxes: true), [21], shape: [1, 1])
        #expect(a.sum(axes: []).shape == [2, 3])
        expectValues(a.variance(axis: 1), [1, 1], shape: [2])
        expectValues(a.variance(axis: 1, unbiased: false), [2.0 / 3, 2.0 / 3], shape: [2])
        #expect(a.max().item() == 6 && a.min().item() == 1)
        let largest = a.max(axis: 1)
        #expect(largest.values.doubles() == [3, 6] && largest.indices.ints() == [2, 2])
        #expect(a.min(axis: 0).indices.ints() == [0, 0, 0])
        #expect(a.argmax(axis: 0).ints() == [1, 1, 1])
        expectValues(a.norm(), [sqrt(91)], shape: [])
        expectValues(a.cumulativeSum(axis: 1), [1, 3, 6, 4, 9, 15], shape: [2, 3])
        #expect(a.topK(2).indices.ints() == [2, 1, 2, 1])
        let sorted = Tensor([2, 1, 2, 0], shape: [4]).sorted(axis: 0, descending: true)
        #expect(sorted.values.ints() == [2, 2, 1, 0] && sorted.indices.ints() == [0, 2, 1, 3])
    }

    @Test func shapesChangeAsStated() {
        #expect(a.reshaped([3, -1]).doubles() == [1, 2, 3, 4, 5, 6])
        #expect(a.transposed(0, 1).doubles() == [1, 4, 2, 5, 3, 6])
        #expect(!a.transposed(0, 1).isContiguous && a.transposed(0, 1).contiguous().isContiguous)
        #expect(Tensor.zeros([2, 3, 4]).permuted([2, 0, 1]).shape == [4, 2, 3])
        #expect(
            a.unsqueezed(-1).shape == [2, 3, 1] && a.unsqueezed(0).squeezed(0).shape == [2, 3])
        #expect(Tensor.zeros([2, 3, 4]).flattened(from: 1).shape == [2, 12])
        #expect(Tensor.ones([2, 1]).expanded(to: [5, -1, 3]).shape == [5, 2, 3])
        #expect(Tensor.concatenated([a, a], axis: 0).shape == [4, 3])
        #expect(Tensor.stacked([a, a], axis: 1).shape == [2, 2, 3])
        #expect(a.split(sizes: [1, 2], axis: 1).map(\.shape) == [[2, 1], [2, 2]])
        #expect(a.chunked(3, axis: 1).map { $0.doubles() } == [[1, 4], [2, 5], [3, 6]])
        #expect(a.repeated(2, axis: 0).doubles() == [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6])
        #expect(a.padded([1, 0]).doubles() == [0, 1, 2, 3, 0, 4, 5, 6])
        #expect(a.flipped(axis: 1).doubles() == [3, 2, 1, 6, 5, 4])
        #expect(a.rolled(1, axis: 1).doubles() == [3, 1, 2, 6, 4, 5])
        #expect(a.lowerTriangle().doubles() == [1, 0, 0, 4, 5, 0])
    }

    @Test func subscriptsSelectViews() {
        #expect(a[1].doubles() == [4, 5, 6])
        #expect(a[-1, 0].item() == 4)
        #expect(a[.all, 1..<3].doubles() == [2, 3, 5, 6])
        #expect(a[.all, 1...1].shape == [2, 1])
        #expect(a[.all, (-2)...].doubles() == [2, 3, 5, 6])
        #expect(a[.all, ..<(-1)].doubles() == [1, 2, 4, 5])
        #expect(a[.all, ...(-1)].shape == [2, 3])
        #expect(a[.ellipsis, 2].doubles() == [3, 6])
        #expect(a[.newAxis, .ellipsis].shape == [1, 2, 3])
        #expect(a[0..<0].shape == [0, 3])
        let copy = a.cloned()
        copy[.all, 0].fill(9)
        #expect(copy.doubles() == [9, 2, 3, 9, 5, 6])
    }

    @Test func indicesPickAndPlaceRows() {
        let indices = Tensor([2, 0], shape: [2])
        #expect(a.selecting(indices, axis: 1).doubles() == [3, 1, 6, 4])
        #expect(a.gathered(Tensor([2, 1], shape: [2, 1]), axis: 1).doubles() == [3, 5])
        let sums = Tensor.zeros([2, 3], dtype: .float64)
            .indexAdding(Tensor([1, 1], shape: [2]), axis: 0, a)
        #expect(sums.doubles() == [0, 0, 0, 5, 7, 9])
        let replaced = a.replacingRows(
            Tensor([1], shape: [1]), with: .zeros([1, 3], dtype: .float64))
        #expect(replaced.doubles() == [1, 2, 3, 0, 0, 0] && a.sum().item() == 21)
        #expect(a.rows(at: Tensor([1, 0, 1, 1], shape: [2, 2])).shape == [2, 2, 3])
    }

    @Test func changesInPlaceChangeEveryView() {
        let base = Tensor.zeros([4])
        let view = base[1..<3]
        view.fill(2)
        base.add(.ones([4]), scaled: 0.5)
        base.multiply(by: 2)
        #expect(base.floats() == [1, 5, 5, 1])
        base.copy(from: Tensor([1, 2, 3, 4], shape: [4]))
        #expect(view.floats() == [2, 3])
    }

    @Test func describesItself() {
        #expect("\(Tensor([1, 2], shape: [2]))" == "Tensor([2], int64, [1, 2])")
        #expect("\(Tensor.zeros([100]))" == "Tensor([100], float32)")
        #expect(
            "\(Device.cuda(1))" == "cuda:1" && Device("cuda:1") == .cuda(1) && Device("tpu") == nil)
    }

    @Test func theRuntimeDescribesItself() {
        #expect(TorchRuntime.version.hasPrefix("2."))
        #expect(
            FileManager.default.fileExists(atPath: TorchRuntime.libraryFolder + "/libtorch_cpu.so"))
        #expect(TorchRuntime.residentBytes > 1 << 20)
        #expect(TorchRuntime.threads >= 1)
        #expect(Device.hasCUDA == (Device.cudaCount > 0))
    }
}

@Suite struct MetaDeviceTests {
    @Test func shapesAreWorkedOutWithoutValues() {
        let table = Tensor.uninitialized([6, 1 << 30], dtype: .bfloat16, device: .meta)
        #expect(table.device == .meta && table.byteCount == 12 << 30)
        #expect(table.chunked(3, axis: 0)[1].shape == [2, 1 << 30])
        #expect(table.to(.float32).dtype == .float32)
        #expect(Tensor([1, 2], shape: [2], device: .meta).shape == [2])
        #expect(!Device.meta.isCPU && !Device.meta.isCUDA && Device("meta") == nil)
    }

    @Test func theMachineSaysHowMuchMemoryItHas() throws {
        let memory = try #require(Device.cpu.memory)
        #expect(memory.total > 1 << 28 && memory.free > 0 && memory.free <= memory.total)
        #expect(Device.meta.memory == nil && Device.cuda(63).memory == nil)
    }
}
