package pack

import "fmt"

// deltaSizes reads the sizes of base and target that open a delta, and returns what follows.
func deltaSizes(delta []byte) (base, target int64, rest []byte, err error) {
	if base, rest, err = deltaSize(delta); err != nil {
		return 0, 0, nil, err
	}
	target, rest, err = deltaSize(rest)
	return base, target, rest, err
}

func deltaSize(delta []byte) (int64, []byte, error) {
	var size int64
	for i, b := range delta {
		if i > 6 {
			break
		}
		size |= int64(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			return size, delta[i+1:], nil
		}
	}
	return 0, nil, fmt.Errorf("%w: delta size out of range", errMalformed)
}

// applyDelta returns the object that delta makes of base. The caller has checked the target's size
// against its budget.
func applyDelta(base, delta []byte) ([]byte, error) {
	from, to, rest, err := deltaSizes(delta)
	if err != nil {
		return nil, err
	}
	if from != int64(len(base)) {
		return nil, fmt.Errorf("%w: delta for a base of %d bytes, not %d", errMalformed, from, len(base))
	}
	target := make([]byte, 0, to)
	for len(rest) > 0 {
		var piece []byte
		if piece, rest, err = instruction(base, rest); err != nil {
			return nil, err
		}
		if int64(len(target)+len(piece)) > to {
			return nil, fmt.Errorf("%w: delta exceeds its size", errMalformed)
		}
		target = append(target, piece...)
	}
	if int64(len(target)) != to {
		return nil, fmt.Errorf("%w: delta ends early", errMalformed)
	}
	return target, nil
}

// instruction decodes one copy or insert and returns the bytes that it stands for.
func instruction(base, delta []byte) (piece, rest []byte, err error) {
	code, rest := delta[0], delta[1:]
	if code == 0 {
		return nil, nil, fmt.Errorf("%w: reserved delta instruction", errMalformed)
	}
	if code&0x80 == 0 {
		if int(code) > len(rest) {
			return nil, nil, fmt.Errorf("%w: delta inserts beyond its end", errMalformed)
		}
		return rest[:code], rest[code:], nil
	}
	var numbers [7]int64 // four bytes of offset, three of length, each present if its bit is set
	for i := range numbers {
		if code&(1<<i) == 0 {
			continue
		}
		if len(rest) == 0 {
			return nil, nil, fmt.Errorf("%w: delta ends within an instruction", errMalformed)
		}
		numbers[i], rest = int64(rest[0]), rest[1:]
	}
	offset := numbers[0] | numbers[1]<<8 | numbers[2]<<16 | numbers[3]<<24
	length := numbers[4] | numbers[5]<<8 | numbers[6]<<16
	if length == 0 {
		length = 0x10000
	}
	if offset+length > int64(len(base)) {
		return nil, nil, fmt.Errorf("%w: delta copies from beyond its base", errMalformed)
	}
	return base[offset : offset+length], rest, nil
}
